"""The API's sign of life, told as long as the loop turns that serves everybody.

A thread asks the loop for a word and waits until it comes: a query that takes long on a thread of its own holds up
neither; a loop that is blocked says nothing. The disk is written to beside the loop, which must not wait for it.
"""

from collections.abc import Callable
from contextlib import suppress
from threading import Event
from typing import Final, Protocol

from sensor_storage.storage.alive import Alive

_TELL_SECONDS: Final = 1.0


class Turning(Protocol):
    """As much of a loop as is asked."""

    def is_closed(self) -> bool:
        """Is it over?"""
        ...

    def call_soon_threadsafe(self, callback: Callable[[], object], /) -> object:
        """Have it called in the loop's next turn; RuntimeError once the loop is over."""
        ...


def tell_while_it_turns(loop: Turning, tell: Alive, stop: Event) -> None:
    """Tell about each second, after a turn of the loop, until `stop` is set or the loop is over."""
    while not stop.wait(_TELL_SECONDS):
        turned = Event()
        try:
            loop.call_soon_threadsafe(turned.set)
        except RuntimeError:
            return
        while not turned.wait(_TELL_SECONDS):
            if stop.is_set() or loop.is_closed():
                return
        with suppress(OSError):  # a disk that takes nothing is for others to tell; this process serves
            tell()
