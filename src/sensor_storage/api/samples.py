"""The samples behind `/metrics`, from a snapshot and a measurement: pure."""

from collections.abc import Iterator

from sensor_storage import __version__, metrics
from sensor_storage.api.gate import Traffic
from sensor_storage.api.judgement import State, age_seconds, judge, lamp, state
from sensor_storage.api.snapshot import Sizes, Snapshot, oldest_unsafe_hour
from sensor_storage.kafka.refusal import Reason
from sensor_storage.loop import process_use
from sensor_storage.metrics import Sample, Spread
from sensor_storage.storage.status import ColdStatus, IngestStatus, MaintainStatus

_SECONDS_PER_HOUR = 3600


def samples(snapshot: Snapshot, sizes: Sizes, traffic: Traffic) -> Iterator[Sample]:
    """Every value there is at the moment; what no worker has reported yet is left out, never a zero."""
    yield metrics.BUILD.sample(1, __version__)
    now_in = state(judge(snapshot))
    for one in State:
        yield metrics.HEALTH.sample(one is now_in, one.value)
    for status in snapshot.workers:
        yield metrics.STATUS_AGE.sample(age_seconds(status, snapshot.now), status.worker)
        yield metrics.HALTED.sample(bool(status.halted), status.worker)
        if status.resident_bytes:
            yield metrics.RESIDENT.sample(status.resident_bytes, status.worker)
            yield metrics.CPU_SECONDS.sample(status.cpu_seconds, status.worker)
    for worker, started in _starts(snapshot).items():
        yield metrics.STARTED.sample(started, worker)
    for ingest in snapshot.ingest:
        yield from _ingest(ingest, snapshot.now)
    if snapshot.ingest:
        yield metrics.LAG.sample(snapshot.lag)
    if snapshot.maintain:
        yield metrics.LAMP.sample(lamp(snapshot).even)
        yield from _maintain(snapshot.maintain)
    if snapshot.cold:
        yield from _cold(snapshot.cold)
        oldest = oldest_unsafe_hour(snapshot, sizes)
        unsafe = 0.0 if oldest is None else max(0.0, snapshot.now - oldest * _SECONDS_PER_HOUR)
        yield metrics.OLDEST_UNSAFE.sample(unsafe)
    yield from _sizes(sizes, snapshot.now)
    for kind, count in sorted(traffic.answers.items()):
        yield metrics.HTTP_ANSWERS.sample(count, kind)
    yield metrics.HTTP_SECONDS.sample(traffic.seconds)
    yield metrics.HTTP_AT_ONCE.sample(traffic.at_once)


def own_samples() -> Iterator[Sample]:
    """What the API's own process takes, which has no status."""
    use = process_use()
    yield metrics.RESIDENT.sample(use["resident_bytes"], "api")
    yield metrics.CPU_SECONDS.sample(use["cpu_seconds"], "api")


def _starts(snapshot: Snapshot) -> dict[str, float]:
    """As the supervisor knows it of every worker, also one that never comes to report."""
    reported = {status.worker: status.started for status in snapshot.workers}
    return reported | {process.worker: process.started for process in snapshot.processes}


def _ingest(status: IngestStatus, now: float) -> Iterator[Sample]:
    worker = status.worker
    yield metrics.MESSAGES.sample(status.messages, worker)
    yield metrics.READINGS.sample(status.readings, worker)
    for reason in Reason:  # each from the start: of a counter that begins at 95 nobody sees that it rose
        yield metrics.DEAD_LETTERS.sample(status.dead_letters.get(reason, 0), worker, reason)
    yield metrics.EMPTY.sample(status.empty, worker)
    yield metrics.SKIPPED.sample(status.skipped, worker)
    yield metrics.GAPS.sample(status.gaps, worker)
    yield metrics.SEGMENTS.sample(status.segments, worker)
    yield metrics.SEGMENT_BYTES.sample(status.segment_bytes, worker)
    if status.waits:
        yield metrics.LATENCY.sample(Spread(status.waits, status.waits_seconds), worker)
    for item in status.partitions:
        if item.end >= 0:
            yield metrics.PARTITION_LAG.sample(item.lag, item.topic, str(item.partition))
    if status.watermark > 0:
        yield metrics.WATERMARK.sample(status.watermark, worker)
        yield metrics.LAG_SECONDS.sample(max(0.0, now - status.watermark), worker)
    yield metrics.TOPICS.sample(status.topics, worker)
    yield metrics.PARTITIONS.sample(len(status.partitions), worker)
    yield metrics.PAUSED.sample(bool(status.paused), worker)
    yield metrics.DEAD_LETTERS_USED.sample(status.dead_letters_used, worker)
    yield metrics.KAFKA_UP.sample(not status.kafka_error, worker)


def _maintain(status: MaintainStatus) -> Iterator[Sample]:
    yield metrics.RECEIVED_MESSAGES.sample(status.received_messages)
    yield metrics.RECEIVED_READINGS.sample(status.received_readings)
    yield metrics.STORED_READINGS.sample(status.stored_readings)
    yield metrics.KEPT_DEAD_LETTERS.sample(status.dead_letters)
    yield metrics.KEPT_GAPS.sample(status.gaps)
    yield metrics.WAITING_READINGS.sample(status.waiting_readings)
    yield metrics.ROUNDS.sample(status.rounds)
    yield metrics.HOUR_FILES_WRITTEN.sample(status.hour_files_written)
    yield metrics.RUNS_WRITTEN.sample(status.runs_written)
    yield metrics.WRITTEN_BYTES.sample(status.written_bytes)
    yield metrics.ROUND_SECONDS.sample(status.last_round_seconds)
    yield metrics.BLOCKED.sample(len(status.blocked))
    yield metrics.DUE_AGGREGATES.sample(status.due_aggregates)
    yield metrics.AGGREGATED_READINGS.sample(status.aggregated_readings)
    yield metrics.MENDED_AGGREGATES.sample(status.mended_aggregates)
    yield metrics.AGGREGATE_FILES_WRITTEN.sample(status.aggregate_files_written)
    yield metrics.AGGREGATE_WRITTEN_BYTES.sample(status.aggregate_written_bytes)
    yield metrics.AGGREGATE_SECONDS.sample(status.last_aggregate_seconds)


def _cold(status: ColdStatus) -> Iterator[Sample]:
    yield metrics.STARTED.sample(status.started, status.worker)
    yield metrics.HALTED.sample(bool(status.halted), status.worker)
    yield metrics.RESIDENT.sample(status.resident_bytes, status.worker)
    yield metrics.CPU_SECONDS.sample(status.cpu_seconds, status.worker)
    yield metrics.UPLOADS.sample(status.uploaded)
    yield metrics.UPLOAD_FAILURES.sample(status.failures)
    yield metrics.UPLOADED_BYTES.sample(status.uploaded_bytes)
    yield metrics.UPLOAD_SECONDS.sample(status.last_upload_seconds)
    yield metrics.UPLOAD_WAITING.sample(status.waiting)
    yield metrics.UPLOAD_SEALED.sample(status.waiting_sealed)
    yield metrics.UPLOAD_FAILING.sample(status.failing)
    yield metrics.STORE_AWAY.sample(status.away)
    yield metrics.CLEANED.sample(status.removed)
    yield metrics.CLEANED_BYTES.sample(status.removed_bytes)
    yield metrics.CLEANUP_SECONDS.sample(status.last_cleanup_seconds)
    for reason, count in sorted(status.kept.items()):
        yield metrics.KEPT.sample(count, reason)


def _sizes(sizes: Sizes, now: float) -> Iterator[Sample]:
    yield metrics.USED.sample(sum(sizes.parts.values()))
    for part, size in sizes.parts.items():
        yield metrics.PART_BYTES.sample(size, part)
    yield metrics.STAGED_FILES.sample(sizes.staged_files)
    yield metrics.STAGED_BYTES.sample(sizes.staged_bytes)
    yield metrics.OLDEST_WAITING.sample(max(0.0, now - sizes.oldest_staged) if sizes.oldest_staged else 0)
    yield metrics.HOUR_FILES.sample(sizes.hour_files)
    yield metrics.AGGREGATE_FILES.sample(sizes.aggregate_files)
    yield metrics.DISK_FREE.sample(sizes.disk_free_bytes)
    yield metrics.DISK_SIZE.sample(sizes.disk_size_bytes)
