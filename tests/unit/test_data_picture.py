"""One picture to one array, whatever its size and mode; or the reason why not."""

import io
import os
import subprocess
import sys
import tempfile
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cnn.config.preparing import ImagesParams
from cnn.data.findings import Reason
from cnn.data.pictures.picture import BadPictureError, read_picture

ROOT = Path(__file__).resolve().parents[2]
GREY = np.arange(0, 240, 5, dtype=np.uint8).reshape(6, 8)
RGB = np.stack([GREY, 255 - GREY, GREY // 2], axis=-1)


def read(path, **form):
    return read_picture(path, ImagesParams.model_validate(form))


def saved(folder, picture, name, **options):
    picture.save(folder / name, **options)
    return folder / name


def refused(path, **form):
    with pytest.raises(BadPictureError) as caught:
        read(path, **form)
    return caught.value


@pytest.mark.parametrize("ending", ["png", "bmp", "tif", "TIFF", "gif"])
def test_grey_pictures_come_back_as_they_are(tmp_path, ending):
    path = saved(tmp_path, Image.fromarray(GREY), f"a.{ending}")
    # One channel holds the grey values, three hold them thrice.
    assert (read(path, channels=1)[..., 0] == GREY).all()
    assert (read(path) == GREY[..., None]).all()


@pytest.mark.parametrize(("ending", "options"), [("png", {}), ("webp", {"lossless": True}), ("bmp", {})])
def test_colours_come_back_as_they_are(tmp_path, ending, options):
    path = saved(tmp_path, Image.fromarray(RGB), f"a.{ending}", **options)
    assert (read(path) == RGB).all()
    # Grey is the luma of ITU-R 601-2 that Pillow documents.
    luma = RGB @ np.array([0.299, 0.587, 0.114])
    assert np.abs(read(path, channels=1)[..., 0] - luma).max() <= 1


def test_sixteen_bits_become_their_upper_eight(tmp_path):
    deep = Image.fromarray(GREY.astype(np.uint16) * 256 + 77)
    for ending in ("png", "tif"):
        # The lower byte is dropped, in either format.
        assert (read(saved(tmp_path, deep, f"a.{ending}"), channels=1)[..., 0] == GREY).all()


def test_palettes_and_cmyk_become_colours(tmp_path):
    few = Image.fromarray(RGB // 128 * 255)
    # A palette of few colours loses nothing.
    assert (read(saved(tmp_path, few.convert("P"), "a.png")) == np.asarray(few.convert("P").convert("RGB"))).all()
    # Of CMYK comes what Pillow makes of it.
    assert (read(saved(tmp_path, few.convert("CMYK"), "b.tif")) == np.asarray(few)).all()


@pytest.mark.parametrize("mode", ["LA", "RGBA", "PA"])
def test_what_is_transparent_shows_the_background(tmp_path, mode):
    picture = Image.fromarray(GREY).convert("RGBA")
    picture.putalpha(Image.fromarray(np.where(np.arange(48).reshape(6, 8) < 24, 255, 0).astype(np.uint8)))
    path = saved(tmp_path, picture.convert("LA") if mode != "RGBA" else picture, "a.png")
    image = read(path, channels=1, background=200)[..., 0]
    # Above the picture, below the grey value that was asked for.
    assert (image[:3] == GREY[:3]).all()
    assert (image[3:] == 200).all()


@pytest.mark.parametrize("orientation", range(1, 9))
def test_a_picture_is_turned_as_its_camera_says(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = saved(tmp_path, Image.fromarray(GREY), "a.png", exif=exif)
    turned = {
        1: GREY, 2: GREY[:, ::-1], 3: GREY[::-1, ::-1], 4: GREY[::-1],
        5: GREY.T, 6: np.rot90(GREY, -1), 7: GREY[::-1, ::-1].T, 8: np.rot90(GREY),
    }  # fmt: skip
    # The eight orientations of EXIF, tag 274.
    assert (read(path, channels=1)[..., 0] == turned[orientation]).all()


def test_the_three_ways_to_a_size(tmp_path):
    # Left half black, right half white, twice as wide as high.
    wide = np.zeros((20, 40), np.uint8)
    wide[:, 20:] = 255
    path = saved(tmp_path, Image.fromarray(wide), "a.png")
    form = {"size": [10, 10], "channels": 1, "background": 99}
    fit, crop, pad = (read(path, resize=word, **form)[..., 0] for word in ("fit", "crop", "pad"))
    # Stretched: both halves are whole. Cropped: the middle, again half and half. Either fills the size.
    for image in (fit, crop):
        assert image.shape == (10, 10)
        assert (image[:, :4] == 0).all() and (image[:, 6:] == 255).all()
    # Padded: the picture is five rows high in the middle, above and below is background.
    assert (pad[[0, 1, 8, 9]] == 99).all()
    assert (pad[3:6, :4] == 0).all() and (pad[3:6, 6:] == 255).all()
    # Cropping cuts off a left edge that fitting keeps.
    wide[:, :8] = 128
    path = saved(tmp_path, Image.fromarray(wide), "b.png")
    assert (read(path, resize="fit", **form)[:, 0, 0] == 128).all()
    assert (read(path, resize="crop", **form)[:, 0, 0] == 0).all()


@pytest.mark.parametrize("shape", [(1, 300), (300, 1)])
@pytest.mark.parametrize("resize", ["fit", "crop", "pad"])
def test_the_thinnest_picture_has_a_size(tmp_path, shape, resize):
    path = saved(tmp_path, Image.fromarray(np.full(shape, 50, np.uint8)), "a.png")
    # No side is ever rounded to nothing.
    assert read(path, size=[8, 8], resize=resize).max() == 50


def test_of_an_animation_the_first_frame(tmp_path):
    frames = [Image.fromarray(np.full((4, 4), value, np.uint8)) for value in (10, 200)]
    path = saved(tmp_path, frames[0], "a.gif", save_all=True, append_images=frames[1:])
    assert (read(path) == 10).all()


def test_a_large_jpeg_is_decoded_at_a_fraction_and_looks_the_same(tmp_path):
    big = np.tile(np.linspace(0, 255, 640, dtype=np.uint8), (480, 1))
    path = saved(tmp_path, Image.fromarray(big), "a.jpg", quality=95)
    exact = np.asarray(Image.fromarray(big).resize((16, 16), Image.Resampling.BILINEAR)).astype(int)
    # Within a few grey values of the exact reduction.
    assert np.abs(read(path, size=[16, 16], channels=1)[..., 0] - exact).max() <= 4


def png_bytes(array=GREY, format="PNG"):
    stream = io.BytesIO()
    Image.fromarray(array).save(stream, format)
    return stream.getvalue()


def png_of_size(width, height):
    """A valid PNG header that promises so many pixels, and one byte of them."""

    def chunk(kind, content):
        crc = zlib.crc32(kind + content).to_bytes(4, "big")
        return len(content).to_bytes(4, "big") + kind + content + crc

    header = width.to_bytes(4, "big") + height.to_bytes(4, "big") + bytes((8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0")) + chunk(b"IEND", b"")


NOISE = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
CASES = {
    "words": ("a.png", b"this is no picture at all", Reason.NOT_AN_IMAGE),
    "a web page": ("a.jpg", b"<html>not found</html>", Reason.NOT_AN_IMAGE),
    "two bytes": ("a.jpg", b"\xff\xd8", Reason.NOT_AN_IMAGE),
    "nothing": ("a.png", b"", Reason.EMPTY),
    "half a PNG": ("a.png", png_bytes(NOISE)[:1500], Reason.TRUNCATED),
    "half a JPEG": ("a.jpg", png_bytes(NOISE, "JPEG")[:900], Reason.TRUNCATED),
    "half a BMP": ("a.bmp", png_bytes(NOISE, "BMP")[:900], Reason.TRUNCATED),
    "a PNG's beginning": ("a.png", png_bytes()[:12], Reason.DAMAGED),
    "a WebP's beginning": ("a.webp", png_bytes(NOISE, "WEBP")[:100], Reason.DAMAGED),
    "a flipped byte": ("a.png", png_bytes(NOISE)[:800] + b"\0\0\0\0" + png_bytes(NOISE)[804:], Reason.DAMAGED),
    "a bomb that Pillow refuses": ("a.png", png_of_size(60_000, 60_000), Reason.TOO_LARGE),
    "a bomb that Pillow warns of": ("a.png", png_of_size(10_000, 10_000), Reason.TOO_LARGE),
    "more pixels than allowed": ("a.png", png_of_size(8_001, 8_000), Reason.TOO_LARGE),
    "a JPEG named PNG": ("a.png", png_bytes(NOISE, "JPEG"), Reason.WRONG_EXTENSION),
    "a PNG named text": ("a.txt", png_bytes(), Reason.WRONG_EXTENSION),
    "another format": ("a.ppm", png_bytes(GREY, "PPM"), Reason.OTHER_FORMAT),
    "fractions": ("a.tif", png_bytes(GREY.astype(np.float32) / 240, "TIFF"), Reason.ODD_MODE),
}


@pytest.mark.parametrize("case", CASES)
def test_a_picture_that_cannot_be_used_has_its_reason(tmp_path, case):
    name, content, reason = CASES[case]
    (tmp_path / name).write_bytes(content)
    error = refused(tmp_path / name)
    # The reason is the right one, and a detail says what was found.
    assert error.reason == reason, error.detail
    assert error.detail


def test_a_name_without_ending_is_no_mistake(tmp_path):
    (tmp_path / "a").write_bytes(png_bytes())
    # Nothing was promised, nothing is broken.
    assert (read(tmp_path / "a", channels=1)[..., 0] == GREY).all()


def test_what_is_no_file(tmp_path):
    (tmp_path / "loop.png").symlink_to("loop.png")
    (tmp_path / "gone.png").symlink_to("nowhere.png")
    (tmp_path / "folder.png").mkdir()
    os.mkfifo(tmp_path / "pipe.png")
    found = {path.name: refused(path).reason for path in tmp_path.iterdir()}
    # Links round in circles, links to nowhere, folders; and a pipe, over which an ordinary reader would hang.
    assert found == {
        "loop.png": Reason.LINK_LOOP,
        "gone.png": Reason.MISSING,
        "folder.png": Reason.NOT_A_FILE,
        "pipe.png": Reason.NOT_A_FILE,
    }
    for name in ("none.png", "a\0b.png", "x" * 300 + ".png"):
        assert refused(tmp_path / name).reason == Reason.MISSING


NOBODY = """
import os, sys
from pathlib import Path
from cnn.config.preparing import ImagesParams
from cnn.data.pictures.picture import BadPictureError, read_picture
from PIL import Image
Image.init()
if os.geteuid() == 0:
    os.seteuid(65534)
for name in ("open.png", "closed.png"):
    try:
        print(read_picture(Path(sys.argv[1]) / name, ImagesParams()).shape)
    except BadPictureError as error:
        print(error.reason)
"""


def test_a_picture_that_may_not_be_read():
    with tempfile.TemporaryDirectory() as folder:
        Path(folder).chmod(0o755)
        for name, mode in (("open.png", 0o644), ("closed.png", 0o000)):
            (Path(folder) / name).write_bytes(png_bytes())
            (Path(folder) / name).chmod(mode)
        command = [sys.executable, "-c", NOBODY, folder]
        said = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    # The one beside it can be read, so it is the file's own permission that is missing.
    assert said.splitlines() == ["(6, 8, 3)", "no permission to read"]
