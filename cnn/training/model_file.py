"""A model's file, looked into before Keras loads it: nothing in it may run code of its own."""

import json
import re
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn.durable import check_file
from cnn.errors import IntegrityError
from cnn.runtime import configure_process
from cnn.tracking.registry import check_is_keras

_DAMAGE = (
    *(EOFError, KeyError, NotImplementedError, OSError, RuntimeError, ValueError),
    *(zipfile.BadZipFile, zlib.error),
)
"""How a damaged archive shows itself, by where the damage is."""

_RUNS_CODE = ("Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")

_PARTS = re.compile(
    r"keras(\.(layers|initializers|regularizers|constraints|src\.(layers|models|ops|applications)(\..+)?))?"
)
"""Where the parts of networks live; the rest of Keras downloads, unpacks, saves and sets what holds for the process."""


def check_runs_no_code(path: Path) -> None:
    """Refuse a model that is made of anything but Keras's own layers.

    Keras's safe mode was bypassed more than once, also by functions of Keras itself: a class of another place than
    those where its layers live is not loaded at all.

    Raises:
        IntegrityError: It is no `.keras` file, or one with a Lambda layer, a function, or a class from elsewhere.
    """
    check_is_keras(path)
    try:
        with zipfile.ZipFile(path) as archive:
            parts = list(_parts(json.loads(archive.read("config.json"))))
    except _DAMAGE as error:
        raise refused(path, "a damaged file") from error
    for part in parts:
        kind, module = part["class_name"], part.get("module")
        if kind in _RUNS_CODE:
            raise refused(path, f"a {kind} in it, which runs code of its own")
        if module is not None and not (_PARTS.fullmatch(str(module)) and str(kind)[:1].isupper()):
            raise refused(path, f"{module}.{kind} in it")
        if ">" in str(part.get("registered_name")):
            raise refused(path, f"{part['registered_name']} in it")


def load_harmless(path: Path, sha256: str) -> Any:
    """A Keras model, its digest compared and its layers looked at before Keras reads a byte of it.

    Raises:
        IntegrityError: Its bytes have changed, it could run code of its own, or Keras cannot load it as a model.
    """
    check_file(path, sha256)
    check_runs_no_code(path)
    configure_process(threads=None)
    import keras

    try:
        model = keras.saving.load_model(path, compile=False, safe_mode=True)
    except MemoryError:
        raise
    except Exception as error:  # of Keras, of HDF5 or of the archive: they have no common root
        first_line = str(error).strip().partition("\n")[0]
        raise refused(path, f"a file Keras cannot load ({first_line[:160]})") from error
    if not isinstance(model, keras.Model):
        raise refused(path, f"a {type(model).__name__} by itself")
    return model


def refused(path: Path, received: str) -> IntegrityError:
    """What is said of a file that is not loaded."""
    expected = "a .keras model of Keras's own layers"
    return IntegrityError(path, received=received, expected=expected, change="name another model")


def _parts(config: Any) -> Iterator[Mapping[str, Any]]:
    """All objects a configuration names, at any depth."""
    if isinstance(config, Mapping):
        if "class_name" in config:
            yield config
        for value in config.values():
            yield from _parts(value)
    elif isinstance(config, list):
        for value in config:
            yield from _parts(value)
