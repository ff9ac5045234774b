"""The section `prepare` of `params.yaml`."""

from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field, ValidationInfo, field_validator

from cnn.config.frozen import Frozen
from cnn.config.tree import checked_tree
from cnn.records import Task

_OWN = {
    "npz": "the .npz file with the arrays",
    "folder": "the folder that has a folder a class, or train/, validation/ and test/ of them",
    "csv": "the manifest with a row an image",
}
_MULTILABEL = ("npz", "csv", "digits_canvas", "fashion_canvas")

Seed = Annotated[int, Field(ge=0, lt=2**31)]


MAX_PIXELS = 89_478_485
"""Where Pillow itself begins to warn of a decompression bomb."""


def _grey_or_colour(channels: int) -> int:
    if channels not in (1, 3):
        raise ValueError("1 (grey) or 3 (RGB)")
    return channels


def _a_pair(size: Any) -> Any:
    if size is not None and not (isinstance(size, list | tuple) and len(size) == 2):
        raise ValueError("[height, width] in pixels, as [64, 64], or null")
    return size


_Side = Annotated[int, Field(ge=1, le=4096)]


class ImagesParams(Frozen):
    """What becomes of a picture, whatever its size and mode."""

    size: Annotated[tuple[_Side, _Side] | None, BeforeValidator(_a_pair)] = None
    channels: Annotated[int, AfterValidator(_grey_or_colour)] = 3
    resize: Literal["fit", "crop", "pad"] = "fit"
    background: Annotated[int, Field(ge=0, le=255)] = 0
    max_pixels: Annotated[int, Field(ge=1, le=MAX_PIXELS)] = 64_000_000


class CsvParams(Frozen):
    """The columns of a manifest."""

    path: str = "path"
    label: str = "label"
    labels: tuple[str, ...] | None = None
    separator: Annotated[str, Field(min_length=1)] = "|"
    split: str = "split"


class PrepareParams(Frozen):
    """Which images, and how they are split."""

    source: Literal[
        "cifar10", "fashion_mnist", "mnist", "digits", "digits_canvas", "fashion_canvas", "npz", "folder", "csv"
    ]
    path: str | None = None
    task: Task = Task.MULTICLASS
    tree: dict[str, Any] | None = None
    classes: Annotated[tuple[str, ...], Field(min_length=2)] | None = None
    images: ImagesParams = ImagesParams()
    csv: CsvParams = CsvParams()
    on_bad: Literal["fail", "skip"] = "fail"
    near_duplicates: Annotated[float, Field(ge=0.0, le=1.0)] = 0.1
    validation_fraction: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.1
    test_fraction: Annotated[float, Field(gt=0.0, lt=0.9)] = 0.2
    train_limit: Annotated[int, Field(ge=1)] | None = None
    seed: Seed = 0

    @field_validator("path")
    @classmethod
    def _own_images_need_a_path(cls, path: str | None, info: ValidationInfo) -> str | None:
        source = info.data.get("source")
        if source in _OWN and path is None:
            raise ValueError(f"prepare.path to name {_OWN[source]}, for prepare.source is {source}")
        return path

    @field_validator("task")
    @classmethod
    def _labels_fit_the_task(cls, task: Task, info: ValidationInfo) -> Task:
        source = str(info.data.get("source", "npz"))
        if source.endswith("_canvas") and task is not Task.MULTILABEL:
            raise ValueError(f"prepare.task multilabel, for prepare.source {source} shows several things at once")
        if task is Task.MULTILABEL and source not in _MULTILABEL:
            raise ValueError(
                f"another task, for prepare.source is {source}; multilabel goes with {', '.join(_MULTILABEL)}"
            )
        return task

    @field_validator("tree", mode="before")
    @classmethod
    def _a_tree_belongs_to_hierarchical(cls, tree: Any, info: ValidationInfo) -> dict[str, Any] | None:
        task = info.data.get("task")
        if (tree is None) == (task is Task.HIERARCHICAL):
            raise ValueError("a tree with prepare.task hierarchical, and null with any other")
        return None if tree is None else checked_tree(tree)
