"""Where trials run: worker processes, or this process."""
