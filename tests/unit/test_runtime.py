import os
import subprocess
import sys

import psutil
import pytest

from cnn.runtime import QUIET, cpu_count_available, derived_seed, devices, is_alive, silence


def in_a_fresh_process(code: str, **settings: str) -> subprocess.CompletedProcess[str]:
    hidden = ("TF_", "OMP_", "OPENBLAS_", *QUIET)
    environment = {name: value for name, value in os.environ.items() if not name.startswith(hidden)}
    return subprocess.run(
        [sys.executable, "-c", code], env={**environment, **settings}, capture_output=True, text=True, check=True
    )


def test_seeds_are_the_same_for_ever() -> None:
    # Results of earlier versions depend on these numbers.
    assert derived_seed(0, "trial", 7) == 2_019_121_432
    # Where one part ends and the next begins makes a difference.
    assert derived_seed("ab", "c") != derived_seed("a", "bc")
    # All seeds are ones that every library takes.
    assert all(0 <= derived_seed(number) < 2**31 for number in range(200))


def test_silence_respects_the_user(monkeypatch) -> None:
    for name in QUIET:
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("DO_NOT_TRACK", "0")
    silence()
    # What the user set stays, what was unset is off.
    assert os.environ["DO_NOT_TRACK"] == "0"
    assert os.environ["MLFLOW_DISABLE_TELEMETRY"] == "true"
    for name in QUIET:
        monkeypatch.setenv(name, os.environ[name])  # so that it is undone


def test_processors_are_those_this_process_may_use() -> None:
    # At least one, and no more than the affinity mask has.
    assert 1 <= cpu_count_available() <= len(os.sched_getaffinity(0))


@pytest.mark.skipif(len(os.sched_getaffinity(0)) < 2, reason="needs two processors to give one up")
def test_affinity_is_respected() -> None:
    code = (
        "import os; os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
        "from cnn.runtime import cpu_count_available; print(cpu_count_available())"
    )
    # A process bound to one processor counts one.
    assert in_a_fresh_process(code).stdout.strip() == "1"


def test_the_dead_that_nobody_collects_are_not_alive() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    process = psutil.Process(child.pid)
    # By its id or as a process, it runs.
    assert is_alive(child.pid) and is_alive(process)
    child.kill()
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)
    # A zombie is in the list of processes all the same.
    assert psutil.pid_exists(child.pid)
    assert not is_alive(child.pid) and not is_alive(process)
    child.communicate()
    # Nor is one whose exit code was asked for.
    assert not is_alive(child.pid) and not is_alive(process)


def test_devices_begin_with_the_processor() -> None:
    # There is always one to compute on.
    assert devices()[0] == "CPU"


def test_importing_loads_no_framework() -> None:
    code = "import sys, cnn.runtime; print({'tensorflow', 'keras', 'numpy', 'joblib'} & set(sys.modules))"
    # A command that only asks for a seed starts at once.
    assert in_a_fresh_process(code).stdout.strip() == "set()"


@pytest.mark.slow
def test_threads_are_as_many_as_asked_and_the_screen_stays_clean() -> None:
    code = """
import psutil, sys
from cnn.runtime import configure_process
configure_process(threads={threads})
import keras
before = psutil.Process().num_threads()
square = keras.ops.ones((300, 300)); keras.ops.matmul(square, square)
print(psutil.Process().num_threads() - before)
print("an error", file=sys.stderr)
"""
    one, six = (in_a_fresh_process(code.format(threads=threads)) for threads in (1, 6))
    # Two pools of threads, each one or six strong: ten more.
    assert int(six.stdout) - int(one.stdout) == 10
    # TensorFlow's notices are held back, everything else is not.
    assert one.stderr == "an error\n"


@pytest.mark.slow
def test_keras_is_not_made_to_load_what_nobody_asked_for() -> None:
    code = """
import sys
from cnn.runtime import configure_process
configure_process(threads=1)
import keras
print(sorted({"sklearn", "matplotlib"} & set(sys.modules)))
import matplotlib.pyplot, sklearn.metrics
print(keras.ops.ones(2).shape, len(matplotlib.pyplot.figure().axes))
"""
    # Its wrappers and plots would take a quarter of the start; who needs one of these imports it as ever.
    assert in_a_fresh_process(code).stdout.splitlines() == ["[]", "(2,) 0"]


@pytest.mark.slow
def test_what_is_no_notice_gets_through_the_import() -> None:
    code = """
import os, sys
from cnn import runtime
with runtime._without_banner():
    os.write(2, b"I0000 00:00:1 port.cc:153] a notice\\nE0000 00:00:1 an error\\n")
    print("a warning", file=sys.stderr)
"""
    # Errors of C++ and lines of Python stay.
    assert in_a_fresh_process(code).stderr == "E0000 00:00:1 an error\na warning\n"
