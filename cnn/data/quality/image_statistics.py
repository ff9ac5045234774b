"""What can be said of an image in a few numbers: how bright, how rich in contrast, how sharp, how coloured it is."""

import numpy as np
import numpy.typing as npt

from cnn.data.arrays import Images, Split

Statistics = npt.NDArray[np.float32]

GREY, COLOURS = ("brightness", "contrast", "sharpness"), ("red", "green", "blue")


def statistic_names(channels: int) -> tuple[str, ...]:
    """The columns of `image_statistics`.

    Args:
        channels: 1 or 3.
    """
    return GREY if channels == 1 else (*GREY, *COLOURS)


def image_statistics(split: Split) -> Statistics:
    """(n, 3 or 6) of each image, of its values / 255.

    Brightness is the mean of the grey image, contrast its standard deviation, sharpness the mean absolute Laplacian
    over its four neighbours (0 below 3 x 3 pixels). With three channels there follows how far the mean of each lies
    from the brightness, so that a darker image is no image of another colour.

    References:
        Pertuz, Puig, Garcia, "Analysis of focus measure operators for shape-from-focus", Pattern Recognition 46, 2013.

    Example:
        >>> white = Split(images=np.full((1, 4, 4, 1), 255, np.uint8), labels=np.zeros(1, np.int64))
        >>> image_statistics(white).tolist()
        [[1.0, 0.0, 0.0]]
    """
    return np.concatenate([_statistics(chunk) for chunk in split.chunks()])


def _statistics(images: Images) -> Statistics:
    scaled = np.asarray(images, dtype=np.float32) / np.float32(255)
    grey = scaled.mean(axis=-1)
    brightness = grey.mean(axis=(1, 2))
    columns = [brightness, grey.std(axis=(1, 2)), _sharpness(grey)]
    if scaled.shape[-1] == 3:
        columns += list((scaled.mean(axis=(1, 2)) - brightness[:, np.newaxis]).T)
    return np.stack(columns, axis=1).astype(np.float32)


def _sharpness(grey: Statistics) -> Statistics:
    inner = grey[:, 1:-1, 1:-1]
    if not inner[0].size:
        return np.zeros(len(grey), np.float32)
    around = grey[:, :-2, 1:-1] + grey[:, 2:, 1:-1] + grey[:, 1:-1, :-2] + grey[:, 1:-1, 2:]
    return np.asarray(np.abs(around - 4 * inner).mean(axis=(1, 2)), dtype=np.float32)
