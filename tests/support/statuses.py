"""Workers' status as they would write it, all well unless said otherwise."""

from typing import Any

import msgspec

from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.processes import Board, leave_words
from sensor_storage.storage.status import IngestStatus, MaintainStatus, PartitionStatus, write_status

NOW = 1_704_067_200.0


def ingest_status(**changes: Any) -> IngestStatus:  # noqa: ANN401 - any field
    """An ingest worker that has caught up but for three messages."""
    status = IngestStatus(
        worker="ingest-0",
        pid=101,
        time=NOW - 1,
        started=NOW - 3600,
        ready=True,
        messages=1_000,
        readings=4_000,
        dead_letters={"not_json": 2, "bad_timestamp": 1},
        empty=5,
        skipped=6,
        gaps=1,
        segments=30,
        segment_bytes=90_000,
        watermark=NOW - 2,
        topics=1,
        pattern="^sensor-data-.*",
        partitions=(
            PartitionStatus("sensor-data-a", 0, 500, 503),
            PartitionStatus("sensor-data-a", 1, 500, -1),
        ),
    )
    return msgspec.structs.replace(status, **changes)


def maintain_status(**changes: Any) -> MaintainStatus:  # noqa: ANN401 - any field
    """A maintain worker for which received equals stored."""
    status = MaintainStatus(
        worker="maintain",
        pid=102,
        time=NOW - 1,
        started=NOW - 3600,
        received_messages=1_000,
        received_readings=4_000,
        dead_letters=3,
        empty=5,
        gaps=1,
        stored_readings=4_000,
        staged_files=2,
        staged_bytes=2_000,
        waiting_readings=400,
        hour_files=7,
        hour_file_bytes=7_000,
        rounds=60,
        hour_files_written=12,
        runs_written=4,
        written_bytes=50_000,
        last_round_seconds=0.25,
    )
    return msgspec.structs.replace(status, **changes)


def tell_all_well(layout: Layout) -> None:
    """Both workers have just reported that all is well."""
    write_status(layout, ingest_status())
    write_status(layout, maintain_status())


def tell_cold_ends(
    layout: Layout, times: int, words: str = "no such container", *, since: float = 10
) -> None:
    """The supervisor's board: all four run, and the cold store's worker ended so often, last `since` ago."""
    clock = ManualClock(NOW - since)
    board = Board(layout, clock)
    for pid, worker in enumerate(("ingest-0", "maintain", "cold", "api"), 101):
        board.started(worker, pid)
    for pid in range(200, 200 + times):
        board.started("cold", pid)
        leave_words(layout, "cold", pid, words)
        board.ended("cold", 1)
