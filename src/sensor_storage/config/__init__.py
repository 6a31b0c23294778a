"""Settings: read once at start, shaped like the rooms, frozen; a wrong one is an error that names it."""

from sensor_storage.config.load import load
from sensor_storage.config.settings import Settings

__all__ = ["Settings", "load"]
