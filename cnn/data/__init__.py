"""From a source to checked arrays on disk, and from arrays to batches."""
