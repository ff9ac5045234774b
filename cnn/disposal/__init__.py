"""What may be removed: found first, shown, then removed; nothing that a version or a saved night needs."""
