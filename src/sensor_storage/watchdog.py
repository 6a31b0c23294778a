"""Notices a worker that hangs: it lives, says nothing, and does nothing.

A long merge is silent too, but uses the processor; a worker that waits for a disk, a lock or a library does not.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

SILENT_SECONDS: Final = 300.0
BUSY_SHARE: Final = 0.01
"""Whoever uses less of a core over that time does nothing."""
_LOOK_SECONDS: Final = 10.0


@dataclass(slots=True)
class Look:
    """What was seen of a worker's process when it last gave a sign of life."""

    pid: int
    at: float
    told: float
    cpu_seconds: float


def hangs(before: Look, now: Look) -> bool:
    """Has the same process, which did report once, neither told anything new nor worked since?"""
    silent = now.at - before.at
    return (
        before.pid == now.pid
        and before.told == now.told
        and now.told > 0
        and silent >= SILENT_SECONDS
        and now.cpu_seconds - before.cpu_seconds < BUSY_SHARE * silent
    )


class Watchdog:
    """Looks at workers now and then. `told` gives the time of a worker's last report, 0 where there is none yet."""

    def __init__(
        self, told: Callable[[str], float], cpu_seconds: Callable[[int], float] | None = None
    ) -> None:
        self._told = told
        self._cpu_seconds = cpu_seconds or _used
        self._last: dict[str, Look] = {}
        self._look_at = 0.0

    def is_due(self, now: float) -> bool:
        """Is it time to look?"""
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return True

    def hangs(self, worker: str, pid: int, now: float) -> bool:
        """Does the worker hang? `now` never goes back."""
        look = Look(pid, now, self._told(worker), self._cpu_seconds(pid))
        before = self._last.setdefault(worker, look)
        if hangs(before, look):
            return True
        silent = now - before.at
        worked = look.cpu_seconds - before.cpu_seconds >= BUSY_SHARE * max(silent, SILENT_SECONDS)
        if before.pid != pid or before.told != look.told or worked:
            self._last[worker] = look
        return False


def _used(pid: int) -> float:
    """The processor time of a process; 0 where it has just gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
