"""Where one Kafka message is: what the ledger says became of it, and in which files its readings are."""

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np

from sensor_storage.cold.files import ColdFiles
from sensor_storage.errors import Damaged
from sensor_storage.model import Series
from sensor_storage.query.staged import HeldStaging
from sensor_storage.query.watch import Watch
from sensor_storage.storage.catalog_view import CatalogView
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.held_staging import dead_letter_offsets, entries_now
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import CheckedFile


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
    """Everything known of an address. Without entries the ledger has not answered for it."""

    entries: list[LedgerEntry] = field(default_factory=list)
    dead_letter: bool = False
    readings: list[Placed] = field(default_factory=list)


def find_message(
    layout: Layout,
    catalog: CatalogView,
    held: HeldStaging,
    watch: Watch,
    address: tuple[str, int, int],
    *,
    files: ColdFiles,
) -> Whereabouts:
    """Look for the topic, partition and offset in ledger, dead letters, staging and hour files."""
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
        watch.look()
        found.readings += _in_file(staged.file, address)
    for key in catalog.holding(topic, partition, offset):
        watch.look()
        try:
            path = layout.hour_file(key)
            file = files.opened(path, CheckedFile)
            found.readings += [replace(one, path=path) for one in _in_file(file, address)]
        except (FileNotFoundError, Damaged):
            continue
    return found


def _in_file(file: CheckedFile, address: tuple[str, int, int]) -> Iterator[Placed]:
    topic, partition, offset = address
    if not file.footer().rows:
        return
    for group in file.groups():
        if not group.first_offset <= offset <= group.last_offset:
            continue
        rows = file.rows(group.start, group.stop)
        rows = rows.where(rows.offset == offset)
        for place in range(len(rows)):
            source = rows.source.values[int(rows.source.codes[place])]
            if (source.topic, source.partition) != (topic, partition):
                continue
            value = float(rows.value[place])
            yield Placed(
                file.path,
                Series(_name(rows.series.asset, place), _name(rows.series.sensor, place)),
                int(rows.timestamp[place]),
                None if np.isnan(value) else value,
                int(rows.index[place]),
            )


def _name(column: Coded[str], place: int) -> str:
    return column.values[int(column.codes[place])]
