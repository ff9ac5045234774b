"""Engines propose what to try next. `SEARCHERS` in `cnn.wiring` names them by their word in `params.yaml`."""
