"""A model as a `.keras` file that serves without this package, and whose bytes depend on the model alone."""

import json
import zipfile
from io import BytesIO
from pathlib import Path
from tempfile import TemporaryDirectory

import keras

from cnn.durable import write_atomic

_EPOCH = (1980, 1, 1, 0, 0, 0)  # the first that a zip archive can name


def write_model(path: Path, model: keras.Model) -> None:
    """Write a model atomically; the same model gives the same bytes, so that DVC sees a change only where one is.

    Args:
        model: Not compiled, so that no optimizer comes with it.

    Raises:
        StorageError: The disk is full or the folder can't be written; the old file is untouched.
    """
    with TemporaryDirectory() as folder:
        saved = Path(folder) / "model.keras"
        model.save(saved)
        content = _without_dates(saved)
    write_atomic(path, lambda file: file.write(content))


def _without_dates(saved: Path) -> bytes:
    rewritten = BytesIO()
    with zipfile.ZipFile(saved) as source, zipfile.ZipFile(rewritten, "w") as target:
        for name in sorted(source.namelist()):
            content = source.read(name)
            if name == "metadata.json":
                content = json.dumps(json.loads(content) | {"date_saved": "1980-01-01@00:00:00"}).encode()
            target.writestr(zipfile.ZipInfo(name, _EPOCH), content)
    return rewritten.getvalue()
