"""Where time goes: calls and seconds of the methods that are watched."""

import time
from collections import Counter, defaultdict
from functools import wraps


class Clock:
    """Seconds and calls by label."""

    def __init__(self):
        self.seconds = defaultdict(float)
        self.calls = Counter()

    def watch(self, part, label, *names):
        """Time these methods of an object (or of a class) from now on."""
        for name in names:
            setattr(part, name, self.timed(f"{label} {name}", getattr(part, name)))

    def timed(self, label, function):
        """The function, timed."""

        @wraps(function)
        def timed(*args, **kwargs):
            started = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                self.seconds[label] += time.perf_counter() - started
                self.calls[label] += 1

        return timed
