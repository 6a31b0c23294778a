"""How far the stages behind ingest may take time to have passed, while Kafka lags.

In a catch-up an hour of readings goes by in minutes. One that came ten minutes late when it was live comes seconds
after its hour has closed, and whatever was made of that hour would be made again. So while the watermark is further
behind the clock than a while, what it was a while ago counts; live, it counts as it is.

While consumption pauses the clock counts. What it waits for, a disk or a staging area with room, comes about by
hours that are written, uploaded and removed: they must not wait for it in turn.
"""

from collections import deque
from typing import Final

from sensor_storage.clock import Clock

_STEP_SECONDS: Final = 1.0


class Settled:
    """Remembers watermarks, for one stage."""

    def __init__(self, clock: Clock, seconds: float) -> None:
        self._clock = clock
        self._seconds = seconds
        self._seen: deque[tuple[float, float]] = deque()

    def take(self, watermark: float, *, paused: bool = False) -> float:
        """The watermark to go by, given what it is now; to be called about every second."""
        now = self._clock.monotonic()
        if not self._seen or now - self._seen[-1][0] >= _STEP_SECONDS:
            self._seen.append((now, watermark))
        while len(self._seen) > 1 and now - self._seen[1][0] >= self._seconds:
            self._seen.popleft()
        if paused:
            return self._clock.now()
        if self._clock.now() - watermark <= self._seconds:
            return watermark
        return min(watermark, self._seen[0][1])
