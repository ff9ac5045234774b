"""The story, in six words: prepare, search, train, evaluate, register, promote."""
