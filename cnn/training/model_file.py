"""A model's file, looked into before Keras loads it: nothing in it may run code of its own."""

import json
import zipfile
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cnn.durable import check_file
from cnn.errors import IntegrityError
from cnn.runtime import configure_process
from cnn.tracking.registry import check_is_keras

_RUNS_CODE = ("Lambda", "__lambda__", "function", "TFSMLayer", "TorchModuleWrapper", "JaxLayer", "FlaxLayer")


def check_runs_no_code(path: Path) -> None:
    """Refuse a model that is made of anything but Keras's own layers.

    Keras's safe mode was bypassed more than once: what is not known to be harmless is not loaded at all.

    Raises:
        IntegrityError: It is no `.keras` file, or one with a Lambda layer, a function, or a class from elsewhere.
    """
    check_is_keras(path)
    try:
        with zipfile.ZipFile(path) as archive:
            config = json.loads(archive.read("config.json"))
    except (KeyError, ValueError, zipfile.BadZipFile) as error:
        raise refused(path, "a damaged file") from error
    for part in _parts(config):
        kind, module = part["class_name"], part.get("module")
        if kind in _RUNS_CODE:
            raise refused(path, f"a {kind} in it, which runs code of its own")
        if module is not None and str(module).partition(".")[0] != "keras":
            raise refused(path, f"{module}.{kind} in it")
        if ">" in str(part.get("registered_name")):
            raise refused(path, f"{part['registered_name']} in it")


def load_harmless(path: Path, sha256: str) -> Any:
    """A Keras model, its digest compared and its layers looked at before Keras reads a byte of it.

    Raises:
        IntegrityError: Its bytes have changed, it could run code of its own, or Keras cannot load it.
    """
    check_file(path, sha256)
    check_runs_no_code(path)
    configure_process(threads=None)
    import keras

    try:
        return keras.saving.load_model(path, compile=False, safe_mode=True)
    except (ValueError, TypeError, KeyError, AttributeError, OSError) as error:
        first_line = str(error).strip().partition("\n")[0]
        raise refused(path, f"a file Keras cannot load ({first_line[:160]})") from error


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
