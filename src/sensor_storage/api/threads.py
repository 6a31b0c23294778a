"""Which threads make answers: few, since they share one interpreter with the loop that serves everybody.

The loop waits for the interpreter behind each thread that wants it; with two dozen of them, on a busy machine, that
was half a second. Few keep the processors as busy. Health and metrics have threads that no query can take.
"""

from collections.abc import Callable
from typing import Final, TypeVar

import psutil
from anyio import CapacityLimiter, to_thread

MAKING_AT_ONCE: Final = max(4, 2 * (psutil.cpu_count() or 1))
"""Twice the processors, as some wait for a disk or the cold store."""
_PROBES_AT_ONCE: Final = 4

Answer = TypeVar("Answer")


def bound_the_threads() -> None:
    """Let no more than `MAKING_AT_ONCE` threads of this loop make answers; to be called in the loop."""
    to_thread.current_default_thread_limiter().total_tokens = MAKING_AT_ONCE


class ProbeThreads:
    """A few threads beside those."""

    def __init__(self) -> None:
        self._limiter = CapacityLimiter(_PROBES_AT_ONCE)

    async def run(self, make: Callable[[], Answer]) -> Answer:
        """What `make` returns, made on one of them."""
        return await to_thread.run_sync(make, limiter=self._limiter)
