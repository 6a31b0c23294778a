"""Past readings from files, by the same way as messages: a row is a message, its number is its offset.

The source of a row is `file:` and the digest of the file's bytes, so a file that is imported twice, or whose import
died half-way, stands in the tree once. Each part of the file becomes a segment with its ledger entry: commit point.
"""

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.batch import MessageBatch
from sensor_storage.kafka.compared import Decode
from sensor_storage.kafka.file_rows import messages_in
from sensor_storage.kafka.names import Aliases
from sensor_storage.model import IMPORTED, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage, LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment

_TOLD: Final = 5


@dataclass(slots=True)
class Backfilled:
    """What became of a file's rows; `already` were imported before, `bad` gave no reading.

    `overlapping` readings were left out, for Kafka covers their time. `no_rows` has the numbers of rows that are
    none.
    """

    rows: int = 0
    readings: int = 0
    already: int = 0
    bad: int = 0
    overlapping: int = 0
    errors: list[str] = field(default_factory=list)
    no_rows: list[int] = field(default_factory=list)

    def leave_out(self, number: int, why: str) -> None:
        """Count a row that is none."""
        self.rows += 1
        self.bad += 1
        self.no_rows.append(number)
        if len(self.errors) < _TOLD:
            self.errors.append(f"row {number:,}: {why}")

    def reject(self, offset: int, why: str) -> None:
        """Count a row that gives no reading; those that are none have no offset."""
        self.bad += 1
        if len(self.errors) < _TOLD:
            number = offset + 1
            for other in self.no_rows:
                number += other <= number
            self.errors.append(f"row {number:,}: {why}")


class Backfill:
    """Imports files into one data directory. The service may run: this is one more writer of segments."""

    def __init__(
        self,
        *,
        layout: Layout,
        disk: Disk,
        decode: Decode,
        names: Callable[[], StagedName],
        compression: str,
        known: Coverage,
        covered: Callable[[Readings], NDArray[np.bool_]] | None = None,
        aliases: Aliases,
        now: float,
    ) -> None:
        self._layout = layout
        self._disk = disk
        self._decode = decode
        self._names = names
        self._compression = compression
        self._known = known
        self._covered = covered
        self._aliases = aliases
        self._now = round(now * 1000)

    def run(
        self, path: Path, *, asset: str = "", store: bool = True, told: Callable[[Backfilled], None]
    ) -> Backfilled:
        """Import the file, or only look what it would give. Usage where it can't be read."""
        done, stop = Backfilled(), 0
        source = _source(path)
        for values in messages_in(path, self._aliases, done.leave_out):
            start, stop = stop, stop + len(values)
            done.rows += len(values)
            offsets = np.arange(start, stop, dtype=np.int64)
            left = self._known.unanswered(source, offsets)
            if left is None and (source, start) in self._known:
                left = np.zeros(len(offsets), np.bool_)
            if left is not None and not left.any():
                done.already += len(values)
                continue
            self._take(source, offsets, values, asset, done, store=store)
            told(done)
        return done

    def _take(
        self,
        source: Source,
        offsets: Any,  # noqa: ANN401 - an array
        values: list[bytes | None],
        asset: str,
        done: Backfilled,
        *,
        store: bool,
    ) -> None:
        count = len(values)
        batch = MessageBatch(
            topic=source.topic,
            source=Coded.constant(source, count),
            offset=offsets,
            timestamp=np.full(count, -1, np.int64),
            key=[asset.encode() if asset else None] * count,
            value=values,
            now=self._now,
        )
        decoded = self._decode(batch)
        readings = decoded.readings.sorted()
        if self._covered:
            left = readings.where(~self._covered(readings))
            done.overlapping += len(readings) - len(left)
            readings = left
        done.readings += len(readings)
        for item in decoded.rejected:
            done.reject(int(offsets[item.row]), item.error)
        if store:
            self._publish(source, int(offsets[0]), count, readings)

    def _publish(self, source: Source, start: int, count: int, ordered: Readings) -> None:
        held = {total.source: total for total in ordered.totals()} if len(ordered) else {}
        entry = LedgerEntry(
            source,
            start,
            start + count,
            messages=count,
            readings=len(ordered),
            empty=count - int(np.count_nonzero(ordered.index == 0)),  # as `verify` counts messages
            hash_sum=held[source].hash_sum if source in held else 0,
        )
        segment = encode_segment(ordered, [entry], self._compression)
        self._disk.publish_bytes(self._layout.staged(self._names()), segment)  # commit point


def _source(path: Path) -> Source:
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, lambda: hashlib.blake2b(digest_size=16)).hexdigest()
    return Source(IMPORTED + digest, digest, 0, 0)
