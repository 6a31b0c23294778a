"""Which process each worker is, how often it ended lately, and with which last words: small files in `run/`.

The supervisor writes the board; a worker that ends by an error leaves its words for it. The API and `status` read
the board: a worker that never comes to report is in no status file.
"""

import signal
from pathlib import Path
from typing import Final

import msgspec

from sensor_storage.clock import Clock
from sensor_storage.storage.durable import replace_hint
from sensor_storage.storage.layout import Layout

AGAIN_AND_AGAIN: Final = 3
"""So many ends within `LATELY_SECONDS`, the alert's time, are more than a mishap."""

LATELY_SECONDS: Final = 900.0
STEADY_SECONDS: Final = 60.0
"""A worker that has run for so long since has got over it."""


class Process(msgspec.Struct, frozen=True, kw_only=True):
    """A worker's process; `pid` is 0 while it waits to be started again. `ends` are the last few, since 1970."""

    worker: str
    pid: int = 0
    started: float = 0.0
    ends: tuple[float, ...] = ()
    error: str = ""

    def ends_lately(self, now: float) -> int:
        """How many of the last ends are of the last quarter of an hour."""
        return sum(now - at < LATELY_SECONDS for at in self.ends)

    def is_troubled(self, now: float) -> bool:
        """Does it end again and again?"""
        steady = self.pid and now - self.started >= STEADY_SECONDS
        return not steady and self.ends_lately(now) >= AGAIN_AND_AGAIN


class _Words(msgspec.Struct, frozen=True):
    pid: int
    words: str


class Board:
    """What the supervisor tells of its workers' processes."""

    def __init__(self, layout: Layout, clock: Clock) -> None:
        self._layout = layout
        self._clock = clock
        self._known: dict[str, Process] = {}

    def started(self, worker: str, pid: int) -> None:
        """It runs."""
        before = self._known.get(worker, Process(worker=worker))
        self._tell(msgspec.structs.replace(before, pid=pid, started=self._clock.now()))

    def ended(self, worker: str, status: int) -> None:
        """It ended, and was not told to."""
        before = self._known[worker]
        error = _last_words(self._layout, worker, before.pid) or _spoken(status)
        ends = (*before.ends, self._clock.now())[-AGAIN_AND_AGAIN:]
        self._tell(msgspec.structs.replace(before, pid=0, ends=ends, error=error))

    def _tell(self, process: Process) -> None:
        self._known[process.worker] = process
        replace_hint(_board(self._layout), msgspec.json.encode(list(self._known.values())))


def read_processes(layout: Layout) -> list[Process]:
    """Every worker that was started, as the supervisor last told; none where it has not."""
    try:
        return msgspec.json.decode(_board(layout).read_bytes(), type=list[Process])
    except (OSError, msgspec.DecodeError):
        return []


def leave_words(layout: Layout, worker: str, pid: int, words: str) -> None:
    """Say why a process ends, for the supervisor to find."""
    replace_hint(_words(layout, worker), msgspec.json.encode(_Words(pid, words)))


def _last_words(layout: Layout, worker: str, pid: int) -> str:
    try:
        found = msgspec.json.decode(_words(layout, worker).read_bytes(), type=_Words)
    except (OSError, msgspec.DecodeError):
        return ""
    return found.words if found.pid == pid else ""


def _spoken(status: int) -> str:
    if status >= 0:
        return f"it ended with exit code {status}"
    try:
        return f"it was ended by {signal.Signals(-status).name}"
    except ValueError:
        return f"it was ended by signal {-status}"


def _board(layout: Layout) -> Path:
    return layout.run / "processes.json"


def _words(layout: Layout, worker: str) -> Path:
    return layout.run / f"last-words-{worker}.json"
