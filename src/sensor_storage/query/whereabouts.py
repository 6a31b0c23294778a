"""Where one Kafka message is: what the ledger says became of it, and in which files its readings are."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import Damaged
from sensor_storage.model import Series, Source
from sensor_storage.query.staged import HeldStaging
from sensor_storage.query.watch import Watch
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.held_staging import dead_letter_offsets, entries_now
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings

MAX_READINGS: Final = 1_000
"""So many are listed of a message: a waveform has millions."""

_NONE: Final = np.zeros(0, np.uint64)


@dataclass(frozen=True, slots=True)
class Placed:
    """One reading of the message: the file it is in, and what it is; `timestamp` in µs since 1970."""

    path: Path
    series: Series
    timestamp: int
    value: float | None
    index: int


@dataclass(slots=True)
class Whereabouts:
    """Everything known of an address. Without entries the ledger has not answered for it.

    `count` is how many readings were found; of more than `MAX_READINGS` the first are listed.
    """

    entries: list[LedgerEntry] = field(default_factory=list)
    dead_letter: bool = False
    readings: list[Placed] = field(default_factory=list)
    count: int = 0
    _seen: dict[Source, NDArray[np.uint64]] = field(default_factory=dict)

    def add(self, rows: Readings, path: Path) -> None:
        """Take in readings of the message, which are in this file; one being merged is in two and counts once."""
        fresh = np.zeros(len(rows), np.bool_)
        for code, source in enumerate(rows.source.values):
            seen = self._seen.get(source, _NONE)
            new = (rows.source.codes == code) & ~np.isin(rows.hashes, seen)
            self._seen[source] = np.concatenate([seen, rows.hashes[new]])
            fresh |= new
        rows = rows.where(fresh)
        self.count += len(rows)
        self.readings += islice(_placed(rows, path), MAX_READINGS - len(self.readings))


def find_message(
    layout: Layout,
    catalog: CatalogView,
    held: HeldStaging,
    watch: Watch,
    address: tuple[str, int, int],
    *,
    files: ColdFiles,
    index: int | None = None,
) -> Whereabouts:
    """Look for the topic, partition and offset in ledger, dead letters, staging and hour files.

    With `index` only for the reading at this place in the message.
    """
    topic, partition, offset = address
    found = Whereabouts()
    for entry in entries_now(layout):
        source = entry.source
        if (source.topic, source.partition) == (topic, partition) and entry.start <= offset < entry.stop:
            found.entries.append(entry)
    letters, _ = dead_letter_offsets(layout)
    for letter, offsets in letters.items():
        if (letter.topic, letter.partition) == (topic, partition) and (offsets == offset).any():
            found.dead_letter = True
    for staged in held.files:
        for rows in _in_file(staged.file, address, index, watch):
            found.add(rows, staged.file.path)
    for key in catalog.holding(topic, partition, offset):
        path = layout.hour_file(key)
        try:
            for rows in _in_file(files.opened(path, CheckedFile), address, index, watch):
                found.add(rows, path)
        except (FileNotFoundError, Damaged):
            continue
    return found


def _in_file(
    file: CheckedFile, address: tuple[str, int, int], index: int | None, watch: Watch
) -> Iterator[Readings]:
    topic, partition, offset = address
    watch.look()
    if not file.footer().rows:
        return
    for group in file.groups():
        if group.first_offset <= offset <= group.last_offset:
            watch.look()
            rows = file.rows(group.start, group.stop)
            mine = [
                code
                for code, source in enumerate(rows.source.values)
                if (source.topic, source.partition) == (topic, partition)
            ]
            wanted = (rows.offset == offset) & np.isin(rows.source.codes, mine)
            yield rows.where(wanted if index is None else wanted & (rows.index == index))


def _placed(rows: Readings, path: Path) -> Iterator[Placed]:
    for place in range(len(rows)):
        value = float(rows.value[place])
        yield Placed(
            path,
            Series(_name(rows.series.asset, place), _name(rows.series.sensor, place)),
            int(rows.timestamp[place]),
            None if np.isnan(value) else value,
            int(rows.index[place]),
        )


def _name(column: Coded[str], place: int) -> str:
    return column.values[int(column.codes[place])]
