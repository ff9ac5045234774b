"""Making a version again: what must be kept for it, where it is found, and how the two are compared."""
