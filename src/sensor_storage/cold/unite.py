"""A local file and the blob of its name, made one: set union for readings, row by row for aggregates."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from pathlib import Path
from uuid import uuid4

import numpy as np

from sensor_storage.aggregation.files import Aggregate, read_aggregate
from sensor_storage.aggregation.rows import Row, with_rows
from sensor_storage.aggregation.windows import WIDTH
from sensor_storage.clock import SystemClock
from sensor_storage.cold.store import Content, mapped
from sensor_storage.errors import Damaged, Transient
from sensor_storage.model import SensorHour
from sensor_storage.storage.block_writer import BlockWriter
from sensor_storage.storage.digests import stored_digest
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import Footer, content_digest, refuse_newer, totals_of
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.parquet import CheckedFile, encode_readings
from sensor_storage.storage.readings import Readings, conflicts, union
from sensor_storage.storage.stretches import Stretch, apart, merge_stretches


@dataclass(frozen=True, slots=True)
class United:
    """The union of file and blob. `content` is None when the blob holds it already; `adopted` rows are new here."""

    content: Content | None
    digest: str
    content_digest: str
    rows: int
    adopted: int = 0


class Unite:
    """Makes unions; foreign rows it meets it puts into staging, from where they come into this disk's files."""

    def __init__(self, layout: Layout, disk: Disk, compression: str, max_rows: int) -> None:
        self._layout = layout
        self._disk = disk
        self._compression = compression
        self._max_rows = max_rows
        self._worker = f"u{uuid4().hex[:12]}"
        self._numbers = count(1)

    @contextmanager
    def readings(self, key: SensorHour, mine: CheckedFile, theirs: CheckedFile) -> Iterator[United]:
        """The union of a sensor-hour's file and its blob; the content is good inside the context."""
        refuse_newer(theirs.version(), theirs.path)
        held = theirs.footer()
        if held.sensor_hour != key:
            raise Damaged(f"{theirs.path.name}: the blob holds {held.sensor_hour}, its name says {key}")
        own = mine.footer()
        as_it_is = United(None, theirs.digest, content_digest(held.totals), held.rows)
        if own.totals == held.totals:
            yield as_it_is
        elif own.rows + held.rows <= self._max_rows:
            yield self._small(key, mine.readings(), theirs, as_it_is)
        else:
            with self._large(key, mine, theirs, as_it_is) as united:
                yield united

    def aggregates(self, mine: Path, theirs: Path, digest: str) -> United:
        """Our windows in place of those in the blob, which keeps the others."""
        ours = read_aggregate(mine)
        if ours.digest != digest:
            raise moved(mine)
        try:
            held = read_aggregate(theirs)
        except Damaged:  # it can be made again: ours takes its place
            held = None
        level = ours.footer.level
        if held is None or level == "minute":
            content: Content = mine.read_bytes()
        else:
            content = with_rows(
                held,
                _rows_of(ours),
                series=ours.footer.series,
                level=level,
                limit=ours.footer.parameters[-1].carry_limit_us,
                parameters=ours.footer.parameters[-1],
            )
        united = stored_digest(content)
        if held and united == held.digest:
            return United(None, united, united, held.footer.rows)
        return United(content, united, united, ours.footer.rows)

    def _small(self, key: SensorHour, mine: Readings, theirs: CheckedFile, as_it_is: United) -> United:
        foreign = theirs.readings()
        whole = union([mine, foreign])
        totals = totals_of(whole)
        adopted = len(whole) - len(mine)
        if adopted:
            self._adopt(Stretch(theirs, 0, len(foreign)))
        if totals == theirs.footer().totals and np.array_equal(whole.revision, foreign.revision):
            return United(None, as_it_is.digest, as_it_is.content_digest, as_it_is.rows, adopted)
        footer = Footer(
            kind="hour", rows=len(whole), totals=totals, sensor_hour=key, conflicts=conflicts(whole)
        )
        content = encode_readings(whole, footer, compression=self._compression)
        return United(content, stored_digest(content), content_digest(totals), len(whole), adopted)

    @contextmanager
    def _large(
        self, key: SensorHour, mine: CheckedFile, theirs: CheckedFile, as_it_is: United
    ) -> Iterator[United]:
        """The same, about `max_rows` at a time."""
        held = theirs.footer()
        parts = [Stretch(mine, 0, mine.footer().rows), Stretch(theirs, 0, held.rows)]
        with self._disk.scratch() as path:
            with (
                apart(parts, self._disk, self._max_rows) as stretches,
                BlockWriter(path, "hour", self._compression) as writer,
            ):
                for block in merge_stretches(stretches, self._max_rows):
                    writer.write(block)
                footer, digest = writer.finish(sensor_hour=key)
            adopted = footer.rows - mine.footer().rows
            if adopted:
                self._adopt(Stretch(theirs, 0, held.rows))
            if footer.totals == held.totals:
                yield United(None, as_it_is.digest, as_it_is.content_digest, as_it_is.rows, adopted)
                return
            with mapped(path) as content:
                yield United(content, digest, content_digest(footer.totals), footer.rows, adopted)

    def _adopt(self, rows: Stretch) -> None:
        """Stage the blob's rows as a run without ledger entries: this disk did not consume them."""
        created = int(SystemClock().now() * 1000)
        name = StagedName(created, self._worker, next(self._numbers), 1)
        with self._disk.writing(self._layout.staged(name)) as aside:
            with BlockWriter(aside.path, "run", self._compression) as writer:
                for group in rows.groups:
                    writer.write(rows.read(group))
                writer.finish()
            self._disk.publish([aside])


def moved(path: Path) -> Transient:
    """The file was written again while it was looked at; it is due still."""
    return Transient(f"{path} was written again meanwhile", hint="it is tried again")


def _rows_of(found: Aggregate) -> dict[int, Row]:
    """An aggregate's rows by number of hour or day."""
    numbers = found.statistics.start // WIDTH[found.footer.level]
    return {
        part.number: Row(
            found.statistics.take(np.flatnonzero(numbers == part.number)), part.digest, part.carry_in
        )
        for part in found.footer.parts
    }
