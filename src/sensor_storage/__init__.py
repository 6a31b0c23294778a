"""Sensor Data Storage Service: every reading from Kafka exactly once, in plain Parquet files."""

from importlib.metadata import version

__version__ = version("sensor-storage")
