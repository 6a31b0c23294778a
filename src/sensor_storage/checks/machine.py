"""The machine: its clock, its memory, how many files a process may open."""

import ctypes
import resource
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from sensor_storage.checks.finding import Finding, bad, good, unknown

_UNSYNCHRONISED = 5
_TIMEX_BYTES = 512
_MIN_FILES = 1024
_GROUP_LIMITS = (Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"))
_OTHER_BYTES = 100_000_000
"""What the supervisor takes, beside its workers."""


def check_machine(*, workers: int, memory_limit: int) -> Iterator[Finding]:
    """As it is now; `workers` processes may each use up to the limit."""
    yield judge_clock(_clock_state())
    yield judge_memory(_memory_bytes(), workers * memory_limit + _OTHER_BYTES)
    yield judge_files(resource.getrlimit(resource.RLIMIT_NOFILE)[0])


def _clock_state() -> int | None:
    """What the kernel says of the clock (`adjtimex`, told to change nothing); None where it can't be asked."""
    if sys.platform != "linux":
        return None
    return int(ctypes.CDLL(None).adjtimex(ctypes.create_string_buffer(_TIMEX_BYTES)))


def judge_clock(state: int | None) -> Finding:
    """Is the time right? It decides when an hour is over, and whether a cloud takes a signature."""
    if state is None or state < 0:
        return unknown("clock", "the kernel does not say whether it is synchronised")
    if state == _UNSYNCHRONISED:
        fix = "start chrony or systemd-timesyncd, unless the host of this machine keeps its time"
        return unknown("clock", "the kernel does not know it as synchronised", fix)
    return good("clock", "synchronised")


def _memory_bytes() -> int:
    """What this process and its children may use: the machine's memory, or the container's if that is less."""
    told = [path.read_text().strip() for path in _GROUP_LIMITS if path.exists()]
    return min([psutil.virtual_memory().total, *(int(text) for text in told if text.isdigit())])


def judge_memory(there: int, wanted: int) -> Finding:
    """Does every worker find its `MEMORY_LIMIT`?"""
    told = f"{there / 1e9:,.1f} GB there, up to {wanted / 1e9:,.1f} GB used"
    if there < wanted:
        return bad(
            "memory", told, "lower MEMORY_LIMIT or INGEST_WORKERS, or give the machine or container more"
        )
    return good("memory", told)


def judge_files(most: int) -> Finding:
    """Can a merge open its files?"""
    if 0 <= most < _MIN_FILES:
        return bad(
            "open files", f"at most {most} at once", f"raise the limit: ulimit -n {_MIN_FILES} or more"
        )
    return good("open files", "no limit" if most < 0 else f"at most {most:,} at once")
