"""Pictures of curves, confusions and classes, as PNG files."""

from cnn.evaluation.plots.classes import per_class_picture
from cnn.evaluation.plots.confusion import confusion_picture, tree_picture
from cnn.evaluation.plots.curves import curve_picture
from cnn.evaluation.plots.rankings import ranking_picture

__all__ = ["confusion_picture", "curve_picture", "per_class_picture", "ranking_picture", "tree_picture"]
