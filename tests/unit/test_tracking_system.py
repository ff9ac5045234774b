"""The machine's samples arrive as figures of a run."""

import time

from cnn.tracking.memory import MemoryTracker
from cnn.tracking.system import SystemSampler, machine_figures
from cnn.tracking.tracker import Run


# Percentages are percentages, and every name is one that MLflow shows under system metrics.
def test_machine_figures():
    figures = machine_figures()
    assert all(name.startswith("system/") for name in figures)
    assert all(0 <= value <= 100 for name, value in figures.items() if name.endswith("percentage"))
    assert figures["system/system_memory_usage_megabytes"] > 1


# Samples are logged while the sampler is open, and none after.
def test_sampler_stops():
    tracker = MemoryTracker()
    tracker.start(Run(key="s", name="study"))
    with SystemSampler(tracker, "s", interval_s=0.05):
        deadline = time.monotonic() + 10
        while not tracker.read_run("s").figures and time.monotonic() < deadline:
            time.sleep(0.01)
    seen = tracker.read_run("s").figures
    assert "system/cpu_utilization_percentage" in seen
    time.sleep(0.2)
    assert tracker.read_run("s").figures == seen
