"""Benchmarks are run one by one (`make bench`), never collected as tests."""

collect_ignore_glob = ["*.py"]
