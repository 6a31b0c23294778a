"""Is the store there? How a round of uploads finds that it is not, and how long it is left alone then.

One failure says nothing about the store. Many in a row do, or more than what went up, and so does one that any
other file would meet as well: the round ends, and the store is left alone, each time twice as long. Then files are
tried one by one until the store has taken one. What it turned away before is tried again then, without a delay of
its own, as long as this process remembers it.
"""

from collections.abc import Callable
from threading import Lock
from typing import Final

from sensor_storage.cold.store import Away, Refused, ShutOut
from sensor_storage.errors import SensorStorageError, Transient
from sensor_storage.storage.receipts import Due

_FEW: Final = 3
"""So many failures may be the files' own; so many of each worker, in a row, may not."""


class Presence:
    """What uploads have found out; `wait` is how long to wait after so many rounds in vain before, in seconds."""

    def __init__(self, workers: int, wait: Callable[[int], float]) -> None:
        self._many = _FEW * workers
        self._wait = wait
        self._lock = Lock()
        self._rounds_away = 0
        self._left_alone_until = 0.0
        self._turned_away: set[Due] = set()
        self.begin_round()

    def left_alone(self, now: float) -> bool:
        """Is it too early for a round?"""
        return now < self._left_alone_until

    def try_now(self) -> None:
        """Leave it alone no longer."""
        self._left_alone_until = 0.0

    def begin_round(self) -> None:
        """Nothing is known of this round yet."""
        self.away = False
        """Is it no use to try another file in this round?"""
        self.trouble: SensorStorageError | None = None
        """The first error of the store's in this round."""
        self._taken = self._failed = self._in_a_row = 0
        self._struck: set[Due] = set()

    @property
    def doubtful(self) -> bool:
        """Was it away in the round before, and has it taken nothing in this one?"""
        return self._rounds_away > 0 and not self._taken

    def hear(self, due: Due, error: SensorStorageError | None, *, taken: bool) -> None:
        """What came of one file: an error, the store's word that it has it, or neither. From any thread."""
        file = due._replace(attempts=0)
        with self._lock:
            if error:
                self._turned_away.discard(file)
            if taken:
                self._taken, self._in_a_row = self._taken + 1, 0
                self._struck.clear()  # these failed while it was there
            elif isinstance(error, Transient | ShutOut):
                self.trouble = self.trouble or error
                self._failed, self._in_a_row = self._failed + 1, self._in_a_row + 1
                self.away = (
                    self.away or self.doubtful or isinstance(error, Away) or self._in_a_row >= self._many
                )
                self._struck.add(file)
            elif isinstance(error, Refused):  # an answer, if about this blob alone
                self._in_a_row = 0

    def end_page(self) -> None:
        """Judge by the whole of the round so far."""
        self.away = self.away or self._failed > max(_FEW, self._taken)

    def back(self) -> list[Due]:
        """The files it turned away as it went and while it was gone, once it has taken another; each told once."""
        if not self._taken or self.away:
            return []
        told, self._turned_away = self._turned_away, set()
        return sorted(told)

    def end_round(self, now: float) -> None:
        """Leave the store alone if it is away."""
        if self.away or not self._taken:
            self._turned_away |= self._struck
        self._rounds_away = self._rounds_away + 1 if self.away else 0
        self._left_alone_until = now + self._wait(self._rounds_away - 1) if self.away else 0.0
