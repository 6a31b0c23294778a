"""A few readings and dead letters on disk, as ingest would leave them."""

from collections.abc import Sequence

import numpy as np

from sensor_storage.model import DECODE_REVISION, MICROSECONDS_PER_HOUR, Address, Series, Source
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.dead_letters import DeadLetter, encode_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.series_column import SeriesColumn

SOURCE = Source("sensor-data-a", "topic-id", 0, 0)
HOUR = 473_352
"""2024-01-01T00:00Z in hours since 1970."""


def stage_readings(
    layout: Layout, series: Sequence[Series], *, number: int = 0, first_offset: int = 0
) -> None:
    """Stage one segment with one reading a series, a second apart, and its ledger entry."""
    count = len(series)
    readings = Readings(
        series=SeriesColumn.encode(series),
        timestamp=HOUR * MICROSECONDS_PER_HOUR + np.arange(count, dtype=np.int64) * 1_000_000,
        value=np.arange(count, dtype=np.float64),
        text=None,
        unit=Coded.constant("°C", count),
        quality=Coded.constant(None, count),
        source=Coded.constant(SOURCE, count),
        offset=np.arange(first_offset, first_offset + count, dtype=np.int64),
        index=np.zeros(count, np.int32),
        revision=np.full(count, DECODE_REVISION, np.int16),
    )
    entry = LedgerEntry(SOURCE, first_offset, first_offset + count, messages=count, readings=count)
    name = StagedName(HOUR * 3_600_000, "ingest0", number, 0)
    Disk(layout.root).publish_bytes(layout.staged(name), encode_segment(readings, [entry], "zstd"))


def keep_dead_letters(layout: Layout, letters: Sequence[DeadLetter], *, number: int = 0) -> None:
    """Keep dead letters in one file."""
    name = StagedName(HOUR * 3_600_000, "ingest0", number, 0)
    Disk(layout.root).publish_bytes(layout.dead_letter_file(name), encode_dead_letters(letters, "zstd"))


def dead_letter(offset: int, *, value: bytes | None = b"{", reason: str = "not_json") -> DeadLetter:
    """One message that could not become readings."""
    return DeadLetter(
        address=Address(SOURCE, offset),
        timestamp=1_704_067_200_123,
        key=b"press-7",
        value=value,
        headers=[("trace", b"\xff\x00"), ("from", b"gateway"), ("none", None)],
        reason=reason,
        error="not JSON: unexpected end",
    )
