"""A verb as a person at a terminal sees it."""

import os
import pty
import re
import subprocess
import sys
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[[0-9;?]*[A-Za-z]")


def on_a_terminal(*words: str, folder: Path) -> tuple[int, str]:
    """The exit code, and everything that was written to the terminal in its order, without control sequences."""
    mine, theirs = pty.openpty()
    environment = {name: value for name, value in os.environ.items() if not name.startswith("KAFKA_")}
    command = [sys.executable, "-m", "sensor_storage", *words]
    size = {"COLUMNS": "200", "TERM": "xterm-256color"}
    process = subprocess.Popen(  # noqa: S603 - our own program
        command, cwd=folder, stdin=theirs, stdout=theirs, stderr=theirs, env={**environment, **size}
    )
    os.close(theirs)
    told = b""
    try:
        while piece := os.read(mine, 65_536):
            told += piece
    except OSError:  # the other side is closed
        pass
    os.close(mine)
    return process.wait(60), _CONTROL.sub("", told.decode())
