"""From a source to checked arrays on disk, and from arrays to batches.

`sources` and a user's own `pictures` give a data set (`arrays`), `quality` looks through it, `prepared` holds its
splits; `pipeline` makes batches of them, with `augmentation` and `class_balance`.
"""
