"""A bound on bytes a second, over all threads."""

import time
from threading import Lock


class Pace:
    """Lets each one wait until its bytes are due; 0 is no bound."""

    def __init__(self, bytes_per_second: int) -> None:
        self._rate = bytes_per_second
        self._lock = Lock()
        self._free_at = 0.0

    def take(self, size: int) -> None:
        """Wait for room for so many bytes."""
        if not self._rate:
            return
        with self._lock:
            now = time.monotonic()
            start = max(now, self._free_at)
            self._free_at = start + size / self._rate
        time.sleep(start - now)
