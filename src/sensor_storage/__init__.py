"""Sensor Data Storage Service: every reading from Kafka exactly once, in plain Parquet files."""

import importlib

__version__: str


def __getattr__(name: str) -> str:
    """`__version__`, looked up when it is asked for: that takes as long as the rest of a start."""
    if name != "__version__":
        raise AttributeError(name)
    found: str = importlib.import_module("importlib.metadata").version("sensor-storage")
    return found
