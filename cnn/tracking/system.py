"""Samples of the machine while a run goes on, under the names MLflow's System metrics tab shows."""

import importlib
import logging
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from types import TracebackType
from typing import Any

import psutil

from cnn.tracking.tracker import Tracker

_log = logging.getLogger(__name__)


class SystemSampler:
    """Logs processor, memory and GPU use of the whole machine to a run, from a thread, until it is closed.

    Args:
        interval_s: Seconds between samples, above 0.

    Example:
        with SystemSampler(tracker, "study", interval_s=10.0):
            search()
    """

    def __init__(self, tracker: Tracker, key: str, *, interval_s: float = 10.0) -> None:
        self._tracker, self._key, self._interval_s = tracker, key, interval_s
        self._sample_gpus = _gpu_sampler()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._work, name="system-sampler", daemon=True)

    def __enter__(self) -> "SystemSampler":
        psutil.cpu_percent()  # the first answer is meaningless: it starts the interval
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        while not self._stop.wait(self._interval_s):
            try:
                # seconds since 1970: a run that goes on after a kill never uses a step twice
                figures = machine_figures() | self._sample_gpus()
                self._tracker.log_figures(self._key, figures, step=int(time.time()))
            except Exception:
                _log.exception("sampling the machine stopped")
                return


def machine_figures() -> dict[str, float]:
    """Processor use since the last call and memory use now, both in percent of the machine, memory in MB too."""
    memory = psutil.virtual_memory()
    return {
        "system/cpu_utilization_percentage": float(psutil.cpu_percent()),
        "system/system_memory_usage_megabytes": round(memory.used / 1e6, 1),
        "system/system_memory_usage_percentage": round(100 * memory.used / memory.total, 1),
    }


def _gpu_sampler() -> Callable[[], dict[str, float]]:
    """Samples NVIDIA's GPUs where there are any and their library is installed."""
    with suppress(Exception):  # no library, no driver, no device
        nvml = importlib.import_module("pynvml")
        nvml.nvmlInit()
        handles = [nvml.nvmlDeviceGetHandleByIndex(i) for i in range(nvml.nvmlDeviceGetCount())]
        return lambda: _gpu_figures(nvml, handles)
    return dict


def _gpu_figures(nvml: Any, handles: list[Any]) -> dict[str, float]:
    figures = {}
    for i, handle in enumerate(handles):
        memory = nvml.nvmlDeviceGetMemoryInfo(handle)
        figures[f"system/gpu_{i}_memory_usage_percentage"] = round(100 * memory.used / memory.total, 1)
        figures[f"system/gpu_{i}_utilization_percentage"] = float(nvml.nvmlDeviceGetUtilizationRates(handle).gpu)
    return figures
