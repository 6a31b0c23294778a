"""Segments: what ingest makes durable before it commits an offset."""

from collections.abc import Sequence

from sensor_storage.storage.footers import Footer, totals_of, writer_for
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.parquet import encode_readings
from sensor_storage.storage.readings import Readings


def encode_segment(readings: Readings, ledger: Sequence[LedgerEntry], compression: str) -> memoryview:
    """The bytes of a segment: readings in canonical order, and in the footer what they answer for."""
    ordered = readings.sorted()
    footer = Footer(
        kind="segment",
        rows=len(ordered),
        totals=totals_of(ordered),
        ledger=tuple(ledger),
        min_writer_version=writer_for(ledger),
    )
    return encode_readings(ordered, footer, compression=compression)
