"""What verification says: by partition what is stored, and everything that is wrong."""

from collections.abc import Iterable

import msgspec

from sensor_storage.model import Source
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.ledger import LedgerEntry, uncovered
from sensor_storage.storage.tally import Difference, Tally

_MAX_HOLES = 100


class PartitionReport(msgspec.Struct, frozen=True, kw_only=True):
    """What the ledger says of one partition and what the tree holds of it, over all leader epochs.

    `stored` and `empty` are messages; `missing` and `double` are readings and dead letters. `gaps` are offset
    ranges (both ends included) Kafka no longer had; `holes` are those no ledger entry here answers for.
    """

    topic: str
    topic_id: str
    partition: int
    first_offset: int
    last_offset: int
    stored: int
    readings: int
    dead_letters: int
    empty: int
    missing: int
    double: int
    gaps: list[tuple[int, int]]
    holes: list[tuple[int, int]]
    replayed: bool


class VerifyReport(msgspec.Struct, frozen=True, kw_only=True):
    """The outcome. Nothing is wrong when there are no findings; `more_findings` counts those left out.

    `trusted_files` were not read again, `cold_files` are in the cold store alone, by their receipts,
    `pending_dead_letters` await the segment that answers for them, and
    `conflicts` are readings of one address with unequal content, both kept where addresses prove nothing;
    `differing` are the half-open ranges of offsets for which the tree holds other than the ledger says.
    """

    findings: list[Finding]
    more_findings: int
    partitions: list[PartitionReport]
    full: bool
    files: int
    trusted_files: int
    cold_files: int = 0
    marked_files: int
    rows_read: int
    doubles_in_files: int
    conflicts: int
    pending_dead_letters: int
    catalog: bool
    differing: list[tuple[Source, int, int]]

    @property
    def clean(self) -> bool:
        """Is nothing wrong?"""
        return not self.findings


def partitions_of(
    entries: Iterable[LedgerEntry], tally: Tally, differences: Iterable[Difference]
) -> list[PartitionReport]:
    """The account of each partition the ledger or the tree knows."""
    by_partition: dict[tuple[str, str, int], list[LedgerEntry]] = {}
    for entry in uncovered(entries):
        by_partition.setdefault(_partition(entry.source), []).append(entry)
    found: dict[tuple[str, str, int], list[Difference]] = {}
    for item in differences:
        found.setdefault(_partition(item.source), []).append(item)
    return [_report(key, mine, tally, found.get(key, [])) for key, mine in sorted(by_partition.items())]


def _report(
    key: tuple[str, str, int],
    entries: list[LedgerEntry],
    tally: Tally,
    differences: list[Difference],
) -> PartitionReport:
    sources = {entry.source for entry in entries}
    stored = [tally.of(source).stored() for source in sources]
    return PartitionReport(
        topic=key[0],
        topic_id=key[1],
        partition=key[2],
        first_offset=min(entry.start for entry in entries),
        last_offset=max(entry.stop for entry in entries) - 1,
        stored=sum(counts.messages for counts in stored),
        readings=sum(counts.readings for counts in stored),
        dead_letters=sum(counts.dead_letters for counts in stored),
        empty=sum(entry.empty for entry in entries),
        missing=sum(item.missing for item in differences),
        double=sum(item.surplus for item in differences),
        gaps=[(entry.start, entry.stop - 1) for entry in entries if entry.fate == "gap"],
        holes=_holes(entries)[:_MAX_HOLES],
        replayed=not key[1] and any(tally.of(source).overlapping for source in sources),
    )


def _holes(entries: list[LedgerEntry]) -> list[tuple[int, int]]:
    holes = []
    reached = min(entry.start for entry in entries)
    for entry in sorted(entries, key=lambda item: item.start):
        if entry.start > reached:
            holes.append((reached, entry.start - 1))
        reached = max(reached, entry.stop)
    return holes


def _partition(source: Source) -> tuple[str, str, int]:
    return source.topic, source.topic_id, source.partition
