"""Each format: how a model is written in it, and how what was written answers.

Keras converts; what it wrote is run by the runtime that will run it elsewhere, never by the model it came from.
"""

import importlib.util
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from cnn.errors import ConfigError

Answer = Callable[[npt.NDArray[np.uint8]], npt.NDArray[np.float32]]
"""(n, h, w, c) uint8 images to (n, k) probabilities."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Format:
    """A format.

    Args:
        file: What is written: a file's or a folder's name.
        write: Writes a loaded model, of which the `.keras` file is given too, to a path.
        runner: Opens what was written.
        packages: Without which neither works.
    """

    file: str
    write: Callable[[Any, Path, Path], None]
    runner: Callable[[Path], Answer]
    packages: tuple[str, ...] = ()


def check_installed(name: str) -> None:
    """Raises ConfigError when a package that a format needs is missing."""
    missing = [package for package in FORMATS[name].packages if importlib.util.find_spec(package) is None]
    if missing:
        expected = f"{', '.join(FORMATS[name].packages)} installed"
        change = "run pip install 'cnn-overnight[onnx]', or choose another format"
        raise ConfigError(f"--format {name}", received=f"no package {missing[0]}", expected=expected, change=change)


def _copy(_model: Any, source: Path, path: Path) -> None:
    shutil.copyfile(source, path)


def _write_saved_model(model: Any, _source: Path, path: Path) -> None:
    model.export(str(path), format="tf_saved_model", verbose=False)


def _write_tflite(model: Any, _source: Path, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.export(str(path), format="litert", verbose=False)


def _write_onnx(model: Any, _source: Path, path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model(np.zeros((1, *model.input_shape[1:]), np.uint8))  # Keras converts only what has been called
        model.export(str(path), format="onnx", verbose=False)


def _run_keras(path: Path) -> Answer:
    import keras

    model = keras.saving.load_model(path, compile=False, safe_mode=True)
    return lambda images: np.asarray(model.predict_on_batch(images), dtype=np.float32)


def _run_saved_model(path: Path) -> Answer:
    import keras

    layer = keras.layers.TFSMLayer(str(path), call_endpoint="serve")
    return lambda images: np.asarray(layer(images), dtype=np.float32)


def _run_tflite(path: Path) -> Answer:
    import tensorflow as tf  # noqa: TID251

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that it will move to a package of its own
        interpreter = tf.lite.Interpreter(model_path=str(path))
    (taken,), (given,) = interpreter.get_input_details(), interpreter.get_output_details()

    def answer(images: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        interpreter.resize_tensor_input(taken["index"], images.shape)
        interpreter.allocate_tensors()
        interpreter.set_tensor(taken["index"], images.astype(taken["dtype"]))
        interpreter.invoke()
        return np.asarray(interpreter.get_tensor(given["index"]), dtype=np.float32)

    return answer


def _run_onnx(path: Path) -> Answer:
    import onnxruntime

    session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
    name = session.get_inputs()[0].name
    return lambda images: np.asarray(session.run(None, {name: images})[0], dtype=np.float32)


FORMATS: Mapping[str, Format] = {
    "keras": Format(file="model.keras", write=_copy, runner=_run_keras),
    "savedmodel": Format(file="savedmodel", write=_write_saved_model, runner=_run_saved_model),
    "tflite": Format(file="model.tflite", write=_write_tflite, runner=_run_tflite),
    "onnx": Format(file="model.onnx", write=_write_onnx, runner=_run_onnx, packages=("tf2onnx", "onnx", "onnxruntime")),
}
