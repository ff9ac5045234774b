"""What must hold of a data set and what should be known of it: checks, bad pictures, twins, the data card."""
