"""Where images come from: the built-in sets and their mirrors, a user's own arrays, the catalogue of all."""
