"""What one round knows of a sensor's hours, and what it has written aside and is to record."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import msgspec

from sensor_storage.aggregation.carry import Carry
from sensor_storage.storage.aggregate_catalog import AggregateFile, AggregateRecord, Spanned
from sensor_storage.storage.digests import stored_digest
from sensor_storage.storage.durable import Aside, Disk
from sensor_storage.storage.file_checks import peek

_CARRY = msgspec.json.Decoder(Carry)


class Known:
    """By hour: its last good number, the number held when it began, and the digest of its file of minutes."""

    def __init__(self, records: Sequence[AggregateRecord]) -> None:
        self.carries: dict[int, Carry | None] = {}
        self.made_from: dict[int, Carry | None] = {}
        self.digests: dict[int, str] = {}
        for record in records:
            self.add(record)

    def add(self, record: AggregateRecord) -> None:
        """Take in an hour, perhaps just made again."""
        number = record.key.number
        self.carries[number], self.made_from[number] = carry_of(record.carry_out), carry_of(record.carry_in)
        self.digests[number] = record.digest


@dataclass(slots=True)
class Batch:
    """Files aside, the records of what is in them, and the hours and days they reach."""

    asides: list[Aside] = field(default_factory=list)
    records: list[AggregateRecord] = field(default_factory=list)
    reached: list[Spanned] = field(default_factory=list)
    files: list[AggregateFile] = field(default_factory=list)
    readings: int = 0
    mended: int = 0
    written_bytes: int = 0

    def write(self, disk: Disk, path: Path, data: memoryview, *, file: AggregateFile) -> str:
        """Write a file aside, unless it is there already; its digest."""
        digest = stored_digest(data)
        self.files.append(file._replace(digest=digest))
        state = peek(path)
        if state is None or (state.digest, state.size_bytes) != (digest, len(data)):
            self.asides.append(disk.write_aside(path, data))
            self.written_bytes += len(data)
        return digest

    def take(self, later: "Batch") -> None:
        """Everything of another batch too."""
        self.asides += later.asides
        self.records += later.records
        self.reached += later.reached
        self.files += later.files
        self.readings += later.readings
        self.mended += later.mended
        self.written_bytes += later.written_bytes


def carry_of(text: str | None) -> Carry | None:
    """From the catalog's JSON."""
    return _CARRY.decode(text) if text else None


def carry_json(carry: Carry | None) -> str | None:
    """As the catalog keeps it."""
    return msgspec.json.encode(carry).decode() if carry else None
