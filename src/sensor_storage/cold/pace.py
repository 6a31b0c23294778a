"""A bound on bytes a second, over all threads."""

import time
from collections.abc import Callable
from threading import Lock
from typing import Final

from sensor_storage.storage.alive import Alive, nothing

_SLICE_SECONDS: Final = 1.0


class Pace:
    """Lets each one wait until its bytes are due; 0 is no bound."""

    def __init__(
        self,
        bytes_per_second: int,
        *,
        now: Callable[[], float] = time.monotonic,
        wait: Callable[[float], object] = time.sleep,
    ) -> None:
        self._rate = bytes_per_second
        self._now = now
        self._wait = wait
        self._lock = Lock()
        self._free_at = 0.0

    def take(self, size: int, alive: Alive = nothing) -> None:
        """Wait for room for so many bytes, with a sign of life about every second."""
        if not self._rate:
            return
        with self._lock:
            now = self._now()
            start = max(now, self._free_at)
            self._free_at = start + size / self._rate
        left = start - now
        while left > 0:
            self._wait(min(left, _SLICE_SECONDS))
            left -= _SLICE_SECONDS
            alive()
