"""Notices a worker that hangs: it lives, says nothing, and does nothing.

A long merge is silent too, but uses the processor; a worker that waits for a disk, a lock or a library does not.
The API has no such excuse: its loop serves everybody, and what takes long is on threads beside it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

BUSY_SHARE: Final = 0.01
"""Whoever uses less of a core over that time does nothing."""
_LOOK_SECONDS: Final = 10.0
_LONGEST_GAP_SECONDS: Final = 60.0
"""After so long between two looks the machine or the supervisor stood still too: nobody was seen to be silent."""


@dataclass(frozen=True, slots=True)
class Patience:
    """For how long a worker may be silent, and whether for longer if it works."""

    silent_seconds: float
    works_silently: bool = True


USUAL: Final = Patience(300)
_BY_ROLE: Final = {"cold": Patience(900), "api": Patience(300, works_silently=False)}
"""A request to the cold store may take five minutes; a large file takes longer into a folder that is slow."""


def patience_with(worker: str) -> Patience:
    """What holds for a worker, by its role."""
    return _BY_ROLE.get(worker.partition("-")[0], USUAL)


@dataclass(slots=True)
class Look:
    """What was seen of a worker's process when it last gave a sign of life."""

    pid: int
    at: float
    told: float
    cpu_seconds: float


def hangs(before: Look, now: Look, patience: Patience = USUAL) -> bool:
    """Has the same process, which did report once, neither told anything new nor worked since?"""
    silent = now.at - before.at
    return (
        before.pid == now.pid
        and before.told == now.told
        and now.told > 0
        and silent >= patience.silent_seconds
        and not _worked(before, now, patience)
    )


def _worked(before: Look, now: Look, patience: Patience) -> bool:
    least = BUSY_SHARE * max(now.at - before.at, patience.silent_seconds)
    return patience.works_silently and now.cpu_seconds - before.cpu_seconds >= least


class Watchdog:
    """Looks at workers now and then. `told` gives the time of a process' last report, 0 where there is none yet."""

    def __init__(
        self, told: Callable[[str, int], float], cpu_seconds: Callable[[int], float] | None = None
    ) -> None:
        self._told = told
        self._cpu_seconds = cpu_seconds or _used
        self._last: dict[str, Look] = {}
        self._looked_at: dict[str, float] = {}
        self._look_at = 0.0

    def is_due(self, now: float) -> bool:
        """Is it time to look?"""
        if now < self._look_at:
            return False
        self._look_at = now + _LOOK_SECONDS
        return True

    def hangs(self, worker: str, pid: int, now: float) -> bool:
        """Does the worker hang? `now` never goes back. One that can't be killed is told again as long after."""
        look = Look(pid, now, self._told(worker, pid), self._cpu_seconds(pid))
        patience = patience_with(worker)
        if now - self._looked_at.get(worker, now) > _LONGEST_GAP_SECONDS:
            self._last[worker] = look
        self._looked_at[worker] = now
        before = self._last.setdefault(worker, look)
        hanging = hangs(before, look, patience)
        if hanging or before.pid != pid or before.told != look.told or _worked(before, look, patience):
            self._last[worker] = look
        return hanging


def _used(pid: int) -> float:
    """The processor time of a process; 0 where it has just gone."""
    try:
        times = psutil.Process(pid).cpu_times()
    except psutil.Error:
        return 0.0
    return float(times.user + times.system)
