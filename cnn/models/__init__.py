"""One file a family; a model is built from a frozen recipe."""
