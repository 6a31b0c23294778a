"""A question's deadline, and whether somebody still waits for the answer."""

from threading import Event

from sensor_storage.clock import Clock
from sensor_storage.errors import Transient


class TooLate(Transient):
    """The deadline of a question has passed."""


class Cancelled(Transient):
    """Nobody waits for the answer any more."""


class Watch:
    """Looked at between two blocks of an answer. `seconds` of 0 is no deadline."""

    def __init__(self, clock: Clock, seconds: float = 0) -> None:
        self._clock = clock
        self._seconds = seconds
        self._began = clock.monotonic()
        self._end = clock.monotonic() + seconds
        self._cancelled = Event()

    @property
    def seconds(self) -> float:
        """How long it has been."""
        return self._clock.monotonic() - self._began

    def cancel(self) -> None:
        """Nobody waits any more: the next look ends the work."""
        self._cancelled.set()

    def look(self) -> None:
        """Go on, or TooLate or Cancelled."""
        if self._cancelled.is_set():
            raise Cancelled("answer a question: nobody waits for it any more")
        if self._seconds and self._clock.monotonic() > self._end:
            raise TooLate(
                f"answer a question: it took longer than {self._seconds:g} s",
                hint="ask for a shorter time, fewer sensors or a coarser resolution",
            )
