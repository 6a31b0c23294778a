"""Time as an argument: the only module that reads the machine's clocks."""

import time
from typing import Protocol


class Clock(Protocol):
    """What a stage may know of time."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        ...

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        ...


class SystemClock:
    """The machine's clocks."""

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC."""
        return time.time()

    def monotonic(self) -> float:
        """Seconds since some moment, never going back."""
        return time.monotonic()


class ManualClock:
    """A clock that moves only when told to, for tests."""

    def __init__(self, now: float = 1_704_067_200.0) -> None:
        self._now = now

    def now(self) -> float:
        """Seconds since 1970-01-01 UTC, as last set."""
        return self._now

    def monotonic(self) -> float:
        """The same seconds: a manual clock has one hand."""
        return self._now

    def advance(self, seconds: float) -> None:
        """Move the clock on."""
        self._now += seconds
