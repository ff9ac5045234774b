"""A user's own picture files: listed from folders or a table, then decoded to one data set."""
