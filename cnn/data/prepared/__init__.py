"""Splits, and the arrays of each on disk."""
