"""The stages of a network, counted alike in all families: a stage is what works at one resolution."""

import keras


def stages(model: keras.Model) -> dict[str, int]:
    """The stage, from 1, of each layer that has weights, by name; those after the feature maps have none.

    A stage begins at a convolution with a stride above 1, or after such a pool and the BatchNorm that may follow it.
    So it is a block of plain, lenet and vgg networks, a stage of the small resnets, inceptions and mobilenets (the stem
    belongs to the first, and what widens the maps before a strided depthwise convolution to the stage before); of
    published networks what their papers tabulate as one output size: 5 of vgg16 and resnet50, whose first is the 7 x 7
    convolution, 5 of mobilenets.

    Args:
        model: A functional one: images in, layers with names.

    Example:
        >>> images = keras.Input((8, 8, 1))
        >>> maps = keras.layers.Conv2D(2, 3, padding="same", name="one")(images)
        >>> maps = keras.layers.Conv2D(2, 3, padding="same", strides=2, name="two")(maps)
        >>> outputs = keras.layers.Dense(1, name="dense")(keras.layers.GlobalAveragePooling2D()(maps))
        >>> stages(keras.Model(images, outputs))
        {'one': 1, 'two': 2}
    """
    makers = {id(tensor): operation for operation in model.operations for tensor in _listed(operation.output)}
    reached: dict[str, tuple[int, int]] = {}
    found: dict[str, int] = {}
    for operation in model.operations:
        parents = [makers[id(tensor)] for tensor in _inputs(operation) if id(tensor) in makers]
        own, after = _halvings(operation, parents, reached)
        reached[operation.name] = own, after
        if getattr(operation, "weights", []) and len(_listed(operation.output)[0].shape) == 4:
            found[operation.name] = own
    ranks = {halvings: rank for rank, halvings in enumerate(sorted(set(found.values())), start=1)}
    return {name: ranks[halvings] for name, halvings in found.items()}


def _halvings(
    operation: keras.Operation, parents: list[keras.Operation], reached: dict[str, tuple[int, int]]
) -> tuple[int, int]:
    """How often the maps were made smaller where an operation counts, and for those that come after it."""
    before = max((reached[parent.name][1] for parent in parents), default=0)
    strides = getattr(operation, "strides", ())
    strided = isinstance(strides, tuple) and max(strides, default=1) > 1
    if isinstance(operation, keras.layers.MaxPooling2D | keras.layers.AveragePooling2D):
        return before, before + strided
    if isinstance(operation, keras.layers.BatchNormalization) and len(parents) == 1:
        return reached[parents[0].name]
    return before + strided, before + strided


def _inputs(operation: keras.Operation) -> list[keras.KerasTensor]:
    return [] if isinstance(operation, keras.layers.InputLayer) else _listed(operation.input)


def _listed(tensors: keras.KerasTensor | list[keras.KerasTensor]) -> list[keras.KerasTensor]:
    return list(tensors) if isinstance(tensors, list | tuple) else [tensors]
