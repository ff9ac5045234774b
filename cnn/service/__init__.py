"""The nightly service: servers of this machine, started, watched, restarted and ended."""
