"""Trying recipes: a space, an engine that proposes, executors that train, one coordinator that keeps the ledger."""
