"""What an answer lacks because it is damaged: told in its warnings, and known to the answers after it.

A file's damage shows when it is opened, which may be amid an answer. What was found once is known beforehand to the
next answer, until the file is another one.
"""

from collections.abc import Collection
from pathlib import Path
from typing import Final

from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.file_state import FileState, file_state
from sensor_storage.storage.layout import Layout

REMEDY: Final = "`sensor-storage verify --repair` brings back what Kafka or the cold store still has"


class Damage:
    """The damaged hour files this process met; safe for several threads."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._known: dict[SensorHour, FileState] = {}
        self.found = 0
        """How often one was met: with it changes what a closed interval is answered."""

    def add(self, key: SensorHour) -> None:
        """The sensor-hour's file is damaged."""
        self._known[key] = _state(self._layout.hour_file(key))
        self.found += 1

    def known(self, series: Collection[Series], hours: range) -> list[SensorHour]:
        """Those of these sensors and hours that were met before and have not been written since."""
        mine = sorted(key for key in tuple(self._known) if key.series in series and key.hour in hours)
        return [key for key in mine if self._known[key] == _state(self._layout.hour_file(key))]


class Warnings:
    """The warnings of one answer, each once; `lacking` are those of readings that are missing in it."""

    def __init__(self, layout: Layout, damage: Damage) -> None:
        self.texts: list[str] = []
        self.lacking = 0
        self._layout = layout
        self._damage = damage

    def lacks(self, key: SensorHour, *, found: bool = True) -> None:
        """The sensor-hour's file is damaged; `found` now, rather than known before."""
        if self.tell(lost(self._layout, self._layout.hour_file(key))):
            self.lacking += 1
            if found:
                self._damage.add(key)

    def made_up(self, path: Path) -> None:
        """An aggregate file is damaged, and made again of what is below it for this answer."""
        self.tell(
            f"{self._layout.relative(path)} is damaged; it was made of readings for this answer; {REMEDY}"
        )

    def tell(self, text: str) -> bool:
        """Say so too, unless it is said already."""
        if text in self.texts:
            return False
        self.texts.append(text)
        return True


def lost(layout: Layout, path: Path) -> str:
    """That a file's readings are missing in an answer."""
    return f"{layout.relative(path)} is damaged; its readings are missing here; {REMEDY}"


def _state(path: Path) -> FileState:
    """That of a file, which may not be here."""
    try:
        return file_state(path)
    except FileNotFoundError:
        return (0, 0, 0)
