"""Models in the formats that other programs take."""
