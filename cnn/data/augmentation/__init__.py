"""Random changes of training images: one file an idea, put together in `changes`."""

from cnn.data.augmentation.changes import augmented, drawn

__all__ = ["augmented", "drawn"]
