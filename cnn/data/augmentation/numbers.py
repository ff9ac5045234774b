"""What the ideas of augmentation share.

An idea has two halves. The first draws numbers for all n images of an epoch, from `Uniform`; the second changes a batch
with the rows that belong to its images. All roots, sines and quotients stand in the first half: a vectorised function
may round the last elements of an array otherwise than those before, so what it gives for an image would depend on its
place in a batch. The second half adds, multiplies and gathers, which is exact or rounded one way only.
"""

from collections.abc import Callable, Mapping

import keras

Uniform = Callable[[str, int], keras.KerasTensor]
"""(n, k) numbers, uniform in [0, 1), from a name and k: a function of (seed, epoch, name). Names keep the ideas apart:
one that is turned on changes nothing in the others."""

Numbers = Mapping[str, keras.KerasTensor]
"""Tensors whose row i belongs to image i."""
