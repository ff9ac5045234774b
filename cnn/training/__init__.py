"""From a recipe and images to a model and its learning curve."""
