"""What each worker says of itself: a small JSON file a worker in `run/`, replaced whole about every second.

The API, `status` and the demo read these; nothing that must not be lost is kept here.
"""

from collections.abc import Container, Iterable
from typing import TypeAlias, TypeVar

import msgspec

from sensor_storage.storage.durable import replace_hint
from sensor_storage.storage.layout import Layout

FRESH_SECONDS = 15
"""A status older than this comes from a worker that hangs or is gone."""

NOT_BACK = "its file is in the cold store, and does not come"
"""So begins why an hour is blocked whose files are not damaged: the store has them, and does not give them."""

COLD_FRESH_SECONDS = 600.0
"""One request to the store may take five minutes, and another looks what became of it."""


class PartitionStatus(msgspec.Struct, frozen=True):
    """How far one partition has been read; `end` is -1 where the broker has not said."""

    topic: str
    partition: int
    position: int
    end: int

    @property
    def lag(self) -> int:
        """Messages that wait in Kafka."""
        return max(0, self.end - self.position) if self.end >= 0 else 0


class IngestStatus(msgspec.Struct, frozen=True, kw_only=True):
    """One ingest worker. Counts are since its start; `watermark` and `time` are seconds since 1970.

    `dead_letters_used` is the share of the room for dead letters that they take; with `ended` it is its last word.
    `waits` are messages by how long they took from Kafka, as `sensor_storage_latency_seconds` counts them.
    `other_topics` are some that there are while none matches the pattern; `bootstrap_servers` are addresses alone.
    `unread_partitions` no member of the group has, though it is at rest.
    """

    worker: str
    pid: int
    time: float
    started: float
    ready: bool
    messages: int
    readings: int
    dead_letters: dict[str, int]
    empty: int
    skipped: int
    gaps: int
    segments: int
    segment_bytes: int
    watermark: float
    waits: tuple[int, ...] = ()
    waits_seconds: float = 0.0
    paused: str = ""
    dead_letters_used: float = 0.0
    kafka_error: str = ""
    halted: str = ""
    resident_bytes: int = 0
    cpu_seconds: float = 0.0
    ended: bool = False
    bootstrap_servers: str = ""
    topics: int = 0
    pattern: str = ""
    other_topics: tuple[str, ...] = ()
    partitions: tuple[PartitionStatus, ...] = ()
    unread_partitions: int = 0

    @property
    def reads(self) -> bool:
        """Has it a say in what time it is by Kafka? Not where the group has no partition for it."""
        return bool(self.partitions) or self.watermark > 0

    @property
    def lag(self) -> int:
        """Messages that wait in Kafka, over all partitions of this worker."""
        return sum(item.lag for item in self.partitions)


class MaintainStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The maintain worker: what was received by the ledger, and where it is stored."""

    worker: str
    pid: int
    time: float
    started: float
    received_messages: int
    received_readings: int
    dead_letters: int
    empty: int
    gaps: int
    stored_readings: int
    staged_files: int
    staged_bytes: int
    waiting_readings: int
    oldest_waiting_hour: int | None = None
    hour_files: int
    hour_file_bytes: int
    rounds: int
    hour_files_written: int
    runs_written: int
    written_bytes: int
    last_round_seconds: float
    due_aggregates: int = 0
    mended_aggregates: int = 0
    aggregate_files_written: int = 0
    aggregate_written_bytes: int = 0
    aggregated_readings: int = 0
    last_aggregate_seconds: float = 0.0
    blocked: dict[str, str] = {}
    halted: str = ""
    resident_bytes: int = 0
    cpu_seconds: float = 0.0
    ended: bool = False


class ColdStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The worker beside the cold store, since its start; `kept` is by reason, of the last cleanup.

    `waiting` files are not yet in the store, `waiting_sealed` of them are of hours that are over.
    """

    worker: str
    pid: int
    time: float
    started: float
    url: str = ""
    uploaded: int = 0
    unchanged: int = 0
    merged: int = 0
    uploaded_bytes: int = 0
    failures: int = 0
    last_upload_seconds: float = 0.0
    waiting: int = 0
    waiting_sealed: int = 0
    failing: int = 0
    errors: tuple[str, ...] = ()
    away: bool = False
    removed: int = 0
    removed_bytes: int = 0
    last_cleanup_seconds: float = 0.0
    kept: dict[str, int] = {}
    error: str = ""
    halted: str = ""
    resident_bytes: int = 0
    cpu_seconds: float = 0.0


class ApiStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The API's process, which reports as long as its loop turns."""

    worker: str
    pid: int
    time: float
    started: float


AnyStatus: TypeAlias = IngestStatus | MaintainStatus | ColdStatus | ApiStatus


def is_fresh(status: AnyStatus, now: float) -> bool:
    """Does the worker that wrote this seem to be alive? The cold store's may wait for it for long."""
    age = now - status.time
    match status:
        case ColdStatus():
            return age < COLD_FRESH_SECONDS
        case ApiStatus():
            return age < FRESH_SECONDS
        case _:
            return not status.ended and age < FRESH_SECONDS


def least_watermark(ingest: Iterable[IngestStatus]) -> float | None:
    """The least Kafka time consumed, 0 where a partition has told none yet; None while no worker reads."""
    return min((status.watermark for status in ingest if status.reads), default=None)


def consumption_pauses(ingest: Iterable[IngestStatus], now: float) -> bool:
    """Does a living worker consume nothing, because disk, staging or dead letters have no room?"""
    return any(status.paused and is_fresh(status, now) for status in ingest)


Status = TypeVar("Status", IngestStatus, MaintainStatus, ColdStatus, ApiStatus)


def write_status(layout: Layout, status: AnyStatus) -> None:
    """Let others see it."""
    replace_hint(layout.run / f"{status.worker}.json", msgspec.json.encode(status))


def forget_workers(layout: Layout, running: Container[str]) -> None:
    """Drop what workers said that are no longer there, such as the second of two ingest workers."""
    for status in read_ingest(layout):
        if status.worker not in running:
            (layout.run / f"{status.worker}.json").unlink(missing_ok=True)


class _Said(msgspec.Struct, frozen=True):
    pid: int


def last_told(layout: Layout, worker: str, pid: int) -> float:
    """When the worker's process last said something, by its file's time; 0 before it has."""
    path = layout.run / f"{worker}.json"
    try:
        said = msgspec.json.decode(path.read_bytes(), type=_Said)
        return path.stat().st_mtime if said.pid == pid else 0.0
    except (OSError, msgspec.DecodeError):
        return 0.0


def read_ingest(layout: Layout) -> list[IngestStatus]:
    """The status of each ingest worker, as last written."""
    return _read(layout, "ingest-*.json", IngestStatus)


def read_maintain(layout: Layout) -> MaintainStatus | None:
    """The status of the maintain worker, as last written."""
    found = _read(layout, "maintain.json", MaintainStatus)
    return found[0] if found else None


def read_cold(layout: Layout) -> ColdStatus | None:
    """The status of the worker beside the cold store, as last written."""
    found = _read(layout, "cold.json", ColdStatus)
    return found[0] if found else None


def read_api(layout: Layout) -> ApiStatus | None:
    """The status of the API's process, as last written."""
    found = _read(layout, "api.json", ApiStatus)
    return found[0] if found else None


def _read(layout: Layout, pattern: str, kind: type[Status]) -> list[Status]:
    found = []
    for path in sorted(layout.run.glob(pattern)):
        try:
            found.append(msgspec.json.decode(path.read_bytes(), type=kind))
        except (OSError, msgspec.DecodeError):
            continue
    return found
