"""Figures, comparisons and pictures of what was trained."""
