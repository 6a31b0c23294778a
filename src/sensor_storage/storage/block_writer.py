"""A file of readings written block by block, for content that is not held in memory at once."""

from collections.abc import Sequence
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from sensor_storage.model import SensorHour, Source
from sensor_storage.storage.arrow_columns import to_arrow
from sensor_storage.storage.digests import seal_file
from sensor_storage.storage.footers import Footer, Kind, Totals, footer_metadata, totals_of, writer_for
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import ROW_GROUP_ROWS, table_writer
from sensor_storage.storage.readings import Readings, conflicts


class RunningTotals:
    """Footer totals of a file written block by block."""

    def __init__(self) -> None:
        self._held: dict[Source, Totals] = {}

    def add(self, totals: Sequence[Totals]) -> None:
        """Take in one more block's totals."""
        for item in totals:
            held = self._held.get(item.source, item)
            if held is not item:
                item = Totals(  # noqa: PLW2901 - the sum takes the item's place
                    item.source,
                    min(held.first_offset, item.first_offset),
                    max(held.last_offset, item.last_offset),
                    held.readings + item.readings,
                    (held.hash_sum + item.hash_sum) % (1 << 64),
                )
            self._held[item.source] = item

    def result(self) -> tuple[Totals, ...]:
        """The totals so far, in the sources' order."""
        return tuple(self._held[source] for source in sorted(self._held))


class BlockWriter:
    """Writes blocks of readings that follow each other in the file's order; `finish` makes it a whole file.

    Row groups are full, wherever blocks end: equal readings make equal bytes.
    """

    def __init__(self, path: Path, kind: Kind, compression: str, *, group_rows: int | None = None) -> None:
        self._path = path
        self._kind: Kind = kind
        self._group_rows = group_rows or ROW_GROUP_ROWS[kind]
        schema = to_arrow(Readings.empty()).schema
        self._writer = table_writer(str(path), schema, compression=compression)
        self._totals = RunningTotals()
        self._conflicts = 0
        self._pending = Readings.empty()
        self.rows = 0
        self.revisions = 0
        """Sum of the rows' decode revisions, which no hash holds."""
        self.first_timestamp = 0
        self.last_timestamp = 0

    def write(self, block: Readings) -> None:
        """Append the block."""
        if not len(block):
            return
        self._write_groups(Readings.concat([self._pending, block]))
        self._totals.add(totals_of(block))
        self._conflicts += conflicts(block)
        if not self.rows:
            self.first_timestamp = int(block.timestamp[0])
        self.last_timestamp = int(block.timestamp[-1])
        self.rows += len(block)
        self.revisions += int(block.revision.sum())

    def _write_groups(self, rows: Readings) -> None:
        stop = 0
        for start in range(0, len(rows) - self._group_rows + 1, self._group_rows):
            stop = start + self._group_rows
            self._write_group(rows.slice(start, stop))
        self._pending = rows.take(np.arange(stop, len(rows)))  # a copy, that does not keep the rest

    def _write_group(self, rows: Readings) -> None:
        table = to_arrow(rows, ordered=self._kind == "hour")
        self._writer.write_table(table, row_group_size=self._group_rows)

    def finish(
        self, *, sensor_hour: SensorHour | None = None, ledger: Sequence[LedgerEntry] = ()
    ) -> tuple[Footer, str]:
        """Write footer and digest; what they are."""
        footer = Footer(
            kind=self._kind,
            rows=self.rows,
            totals=self._totals.result(),
            sensor_hour=sensor_hour,
            ledger=tuple(ledger),
            min_writer_version=writer_for(ledger),
            conflicts=self._conflicts if sensor_hour else 0,
        )
        if len(self._pending):
            self._write_group(self._pending)
        self._writer.add_key_value_metadata(footer_metadata(footer))
        self._writer.close()
        return footer, seal_file(self._path)

    def __enter__(self) -> Self:
        """Write."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Close, whole or not; closing twice does nothing."""
        self._writer.close()
