"""What `cnn doctor` looks at. A check gives findings: what is so, how grave it is, and how to mend it."""
