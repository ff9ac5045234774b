"""How long a rollback takes, in the registry alone and as a whole: embedded and served, with short and long logs.

    python tests/benchmarks/bench_rollback.py [--rollbacks 20] [--decisions 10 400]

A rollback reads the history, checks the files of the version it goes to, writes its decision, tells the version, moves
the alias, and looks again. Registry time is what its calls to the registry take, the download of the model's file (some
bytes here) included; the rest is the ledger of the home. Two versions take turns as champion. The server is
`mlflow server` on this machine, on sqlite.
"""

import argparse
import sys
import tempfile
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path

sys.path.append(str(Path(__file__).resolve().parents[1]))  # what tests promote and serve with

from clock import Clock
from figures import print_arms, print_head
from promoted import NAME, Gatehouse, deliver_run
from servers import TrackingServer

from cnn.config.environment import Environment
from cnn.tracking.mlflow_registry import MlflowRegistry
from cnn.tracking.promotions import read_line, sealed_line

CALLS = (
    *("entries", "append_entry", "settle_entry", "set_tags", "set_alias"),
    *("version", "version_by_alias", "download", "download_file"),
)


def main() -> None:
    words = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    words.add_argument("--rollbacks", type=int, default=20, help="of each arm; default 20")
    words.add_argument(
        "--decisions", type=int, nargs="+", default=[10, 400], help="in the history before; default 10 400"
    )
    asked = words.parse_args()
    print_head("rollback, seconds")
    registry_s, whole_s = defaultdict(list), defaultdict(list)
    with tempfile.TemporaryDirectory() as folder, addresses(Path(folder)) as found:
        for kind, (uri, database) in found.items():
            house = two_champions(Path(folder) / kind, uri)
            filler = MlflowRegistry(Environment(home=house.folder / "filler", tracking_uri=database))
            for n in sorted(asked.decisions):
                fill(filler, n)
                for _ in range(asked.rollbacks):
                    spent, took = timed_rollback(house)
                    registry_s[f"{kind}, {n} decisions"].append(spent)
                    whole_s[f"{kind}, {n} decisions"].append(took)
    print_arms("s in the registry", registry_s)
    print_arms("s as a whole", whole_s)


@contextmanager
def addresses(folder):
    """Of each arm the address, and that of the database behind it."""
    (folder / "server").mkdir()
    server = TrackingServer(folder / "server")
    server.start()
    try:
        server.wait()
        embedded, served = (f"sqlite:///{path}" for path in (folder / "embedded.db", server.database))
        yield {"sqlite": (embedded, embedded), "server": (server.uri, served)}
    finally:
        server.kill()


def two_champions(folder, uri):
    """Version 1 was champion, version 2 is."""
    environment = Environment(home=folder / "home", tracking_uri=uri)
    deliver_run(environment)
    house = Gatehouse(folder, MlflowRegistry(environment))
    house.environment = environment
    house.reign(100, 300)
    return house


def fill(registry, n):
    """Refusals until there are n decisions, each as long as one of a night's."""
    entries = registry.entries(NAME)
    like = next(line for line in (read_line(entry.text, NAME) for entry in entries) if line.get("look"))
    for follows in range(len(entries), n):
        refused = like | {"kind": "refused", "promoted": False, "follows": follows, "nonce": f"{follows:016x}"}
        registry.append_entry(NAME, sealed_line(refused | {"home": "another"}), "refused")
        registry.settle_entry(NAME, follows + 1)


def timed_rollback(house):
    """Seconds in the registry, and as a whole, of going back to the one that is not champion."""
    clock, registry = Clock(), house.registry
    watched = {name: getattr(registry, name) for name in CALLS}
    to = 3 - house.champion()
    clock.watch(registry, "registry", *CALLS)
    began = time.perf_counter()
    house.rollback(to=to, reason="bench")
    took = time.perf_counter() - began
    for name, call in watched.items():
        setattr(registry, name, call)
    return sum(clock.seconds.values()), took


if __name__ == "__main__":
    main()
