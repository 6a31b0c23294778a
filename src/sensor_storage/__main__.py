"""The command `sensor-storage`, also as `python -m sensor_storage`: the service listens before it is read."""

import importlib
import os
import signal
import sys
from typing import NoReturn


def main() -> NoReturn:
    """Run the command line of this process, and end it."""
    if sys.argv[1:2] == ["run"]:
        signal.signal(signal.SIGTERM, _end_before_the_beginning)
    importlib.import_module("sensor_storage.cli").main()
    raise AssertionError


def _end_before_the_beginning(_signal: int, _frame: object) -> None:
    """Told to end while the program is still read: nothing has begun. `run` soon listens in its own way."""
    os._exit(0)


if __name__ == "__main__":
    main()
