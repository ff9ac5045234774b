"""One picture file to one array, or the reason why not.

Files come from anywhere: the formats are named, the number of pixels is looked at before any is decoded, and whatever
a decoder raises is a finding and no crash.
"""

import errno
import os
import stat
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import IO

import numpy as np
from PIL import Image, ImageOps, UnidentifiedImageError

from cnn.config.preparing import ImagesParams
from cnn.data.arrays import Images
from cnn.data.findings import Reason

FORMATS = ("JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF")
_SAME = {"MPO": "JPEG", "DIB": "BMP"}  # a camera's JPEG with a second picture in it; a BMP without its first lines
_SMOOTH = Image.Resampling.BILINEAR  # over all pixels that go into one, in whole numbers
_REFUSALS = {
    errno.ENOENT: Reason.MISSING,
    errno.ENOTDIR: Reason.MISSING,
    errno.ENAMETOOLONG: Reason.MISSING,
    errno.ELOOP: Reason.LINK_LOOP,
}


class BadPictureError(Exception):
    """A picture that cannot be used."""

    def __init__(self, reason: Reason, detail: str) -> None:
        super().__init__(reason, detail)
        self.reason, self.detail = reason, detail


def read_picture(path: Path, form: ImagesParams) -> Images:
    """The picture as (h, w, c) uint8; of an animation the first frame.

    It is turned as its EXIF says, put on the background where it is transparent, brought to the channels and the size
    of `form`. Of sixteen bits a channel the upper eight stay.

    Raises:
        BadPictureError: It cannot be used; for every reason there is.
    """
    try:
        with _opened(path) as file, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return _decoded(file, path, form)
    except BadPictureError:
        raise
    except OSError as error:
        reason = Reason.TRUNCATED if "truncated" in str(error) else Reason.DAMAGED
        raise BadPictureError(reason, str(error)) from error
    except (Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise BadPictureError(Reason.TOO_LARGE, str(error)) from error
    except Exception as error:  # a decoder's own troubles have no common root
        raise BadPictureError(Reason.DAMAGED, f"{type(error).__name__}: {error}") from error


def _opened(path: Path) -> IO[bytes]:
    try:
        status = path.stat()
        if not stat.S_ISREG(status.st_mode):  # opening a pipe would wait for ever
            raise BadPictureError(Reason.NOT_A_FILE, stat.filemode(status.st_mode))
        if status.st_size == 0:
            raise BadPictureError(Reason.EMPTY, "0 bytes")
        return path.open("rb")
    except OSError as error:
        reason = _REFUSALS.get(error.errno or 0, Reason.NO_PERMISSION)
        raise BadPictureError(reason, os.strerror(error.errno or 0)) from error
    except ValueError as error:
        raise BadPictureError(Reason.MISSING, str(error)) from error


def _decoded(file: IO[bytes], path: Path, form: ImagesParams) -> Images:
    try:
        picture: Image.Image = Image.open(file, formats=FORMATS)
    except UnidentifiedImageError as error:
        raise _unidentified(file) from error
    kind = _SAME.get(picture.format or "", picture.format)
    suffix = path.suffix.lower()
    if suffix and _SAME.get(_extensions().get(suffix, ""), _extensions().get(suffix)) != kind:
        raise BadPictureError(Reason.WRONG_EXTENSION, f"the content is {kind}")
    n_pixels = picture.width * picture.height
    if n_pixels > form.max_pixels:
        detail = f"{picture.width} x {picture.height} = {n_pixels} pixels, at most {form.max_pixels}"
        raise BadPictureError(Reason.TOO_LARGE, detail)
    if form.size is not None:
        picture.draft(None, (2 * max(form.size), 2 * max(form.size)))  # JPEG: no need to decode what is thrown away
    picture.load()
    ImageOps.exif_transpose(picture, in_place=True)
    pixels: Images = np.asarray(_resized(_converted(picture, form), form), dtype=np.uint8)
    return pixels[..., np.newaxis] if pixels.ndim == 2 else pixels


def _unidentified(file: IO[bytes]) -> BadPictureError:
    """What the first bytes say of content that none of the named formats can read."""
    file.seek(0)
    beginning = file.read(16)
    _extensions()
    for kind, (_, accept) in sorted(Image.OPEN.items(), key=lambda item: item[0] not in FORMATS):
        if accept is not None and accept(beginning.ljust(16, b"\0")) is True:
            if kind in FORMATS:
                return BadPictureError(Reason.DAMAGED, f"it begins as {kind} and cannot be read")
            return BadPictureError(Reason.OTHER_FORMAT, f"{kind}, none of {', '.join(FORMATS)}")
    return BadPictureError(Reason.NOT_AN_IMAGE, f"it begins with {beginning!r}")


def _extensions() -> Mapping[str, str]:
    return Image.registered_extensions()


def _converted(picture: Image.Image, form: ImagesParams) -> Image.Image:
    """Grey or RGB, eight bits a channel."""
    if picture.mode.startswith("I;16"):
        picture = Image.fromarray((np.asarray(picture) >> 8).astype(np.uint8))
    if picture.mode in ("I", "F"):
        detail = f"mode {picture.mode}: save it with 8 or 16 bits a channel"
        raise BadPictureError(Reason.ODD_MODE, detail)
    if picture.has_transparency_data:
        grey = form.background
        behind = Image.new("RGBA", picture.size, (grey, grey, grey, 255))
        behind.alpha_composite(picture.convert("RGBA"))
        picture = behind
    mode = "RGB" if form.channels == 3 else "L"
    if mode == "L" and picture.mode not in ("1", "L"):
        picture = picture.convert("RGB")
    return picture if picture.mode == mode else picture.convert(mode)


def _resized(picture: Image.Image, form: ImagesParams) -> Image.Image:
    if form.size is None or picture.size == form.size[::-1]:
        return picture
    height, width = form.size
    if form.resize == "fit":
        return picture.resize((width, height), _SMOOTH)
    if form.resize == "crop":
        return ImageOps.fit(picture, (width, height), _SMOOTH)
    scale = min(width / picture.width, height / picture.height)
    inner = max(1, round(picture.width * scale)), max(1, round(picture.height * scale))
    padded = Image.new(picture.mode, (width, height), (form.background,) * form.channels)
    padded.paste(picture.resize(inner, _SMOOTH), ((width - inner[0]) // 2, (height - inner[1]) // 2))
    return padded
