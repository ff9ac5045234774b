"""Where runs are logged: the `Tracker` role, MLflow behind it, and a stand-in that keeps all in memory."""
