"""When, where, retry, notice: the only place that speaks Prefect."""
