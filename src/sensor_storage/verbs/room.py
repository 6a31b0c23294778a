"""For verbs that write segments themselves: who puts these in their place, and room for more."""

import itertools
import time
import uuid
from collections.abc import Callable
from contextlib import closing, nullcontext
from typing import Final

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.errors import Owned
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ownership import ask, own
from sensor_storage.verbs.compact import put_in_place

_WAIT_SECONDS: Final = 1.0


class Room:
    """The staging area of a directory that a service owns, or this process (`mine`), or nobody for long."""

    def __init__(self, settings: Settings, layout: Layout, *, mine: bool = False) -> None:
        self._settings = settings
        self._layout = layout
        self._mine = mine

    def make(self) -> None:
        """Wait while staging is full; where no service runs, empty it."""
        most = self._settings.storage.staging_max_bytes
        while self._layout.staged_bytes() > most:
            if not self.settle() and self._layout.staged_bytes() > most:
                time.sleep(_WAIT_SECONDS)

    def settle(self) -> bool:
        """Put what is staged in its place, unless a service does it anyway; was it done here?"""
        try:
            lock = nullcontext() if self._mine else own(self._layout)
        except Owned:
            return False
        with lock, closing(Catalog(self._layout)) as catalog:
            put_in_place(self._settings, self._layout, catalog)
        return True

    def flush(self) -> None:
        """Let everything that was consumed until now be in its hour file, by the service if there is one."""
        if not self.settle():
            ask(self._layout, "maintain", "flush")


def staged_names() -> Callable[[], StagedName]:
    """Names for segments of an import, which no other process gives."""
    worker, numbers, clock = f"b{uuid.uuid4().hex[:12]}", itertools.count(), SystemClock()
    return lambda: StagedName(int(clock.now() * 1000), worker, next(numbers), 0)
