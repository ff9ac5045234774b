"""Networks from recipes: uint8 images in, class probabilities out."""

from cnn.models.build import MODELS, build_model

__all__ = ["MODELS", "build_model"]
