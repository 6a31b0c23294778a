"""Below which offset of each partition everything is in the cold store.

Looked up in the order in which rows move the other way round, so that a row on its way is met at least once:
ledger files, staged files, then the hour files that are due for upload. What is found pending holds the offset
back; an hour file that was changed holds back all of its own, which errs on the safe side.
"""

import msgspec

from sensor_storage.errors import Damaged
from sensor_storage.model import Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.held_staging import read_ledgers
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile


class SafeOffset(msgspec.Struct, frozen=True, order=True):
    """Everything of the partition below `offset` is in the cold store; `end` is how far was consumed."""

    topic: str
    topic_id: str
    partition: int
    offset: int
    end: int

    @property
    def place(self) -> tuple[str, str, int]:
        """Which partition."""
        return self.topic, self.topic_id, self.partition


def safe_offsets(layout: Layout, catalog: Catalog) -> tuple[SafeOffset, ...]:
    """For every partition this directory has consumed from."""
    ends: dict[tuple[str, str, int], int] = {}
    pending: dict[tuple[str, str, int], int] = {}

    def consumed(source: Source, stop: int) -> None:
        ends[_place(source)] = max(stop, ends.get(_place(source), 0))

    def waits(source: Source, first: int) -> None:
        pending[_place(source)] = min(first, pending.get(_place(source), first))

    for entry in read_ledgers(layout)[0]:
        consumed(entry.source, entry.stop)
    for _, path in layout.staged_files():
        try:
            entries = CheckedFile(path).footer().ledger
        except (FileNotFoundError, Damaged):
            continue
        for entry in entries:
            consumed(entry.source, entry.stop)
            waits(entry.source, entry.start)
    for totals in catalog.due_totals():
        for one in totals:
            waits(one.source, one.first_offset)
    return tuple(
        sorted(SafeOffset(*place, min(end, pending.get(place, end)), end) for place, end in ends.items())
    )


def _place(source: Source) -> tuple[str, str, int]:
    return source.topic, source.topic_id, source.partition
