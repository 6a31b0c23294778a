"""The service's metrics: their names, kinds and meanings.

Counts since a worker's start begin again with it, as Prometheus expects of counters. No label carries an
asset's or a sensor's name: there may be hundreds of thousands.
"""

from dataclasses import dataclass
from typing import Final, Literal


@dataclass(frozen=True, slots=True)
class Definition:
    """One metric: its whole name, what it counts or shows, and which labels its samples carry.

    A histogram's `bounds` go up; what is above the last is counted too.
    """

    name: str
    kind: Literal["counter", "gauge", "histogram"]
    meaning: str
    labels: tuple[str, ...] = ()
    bounds: tuple[float, ...] = ()

    def sample(self, value: "float | Spread", *labels: str) -> "Sample":
        """One value of it."""
        return Sample(self, value, labels)


@dataclass(frozen=True, slots=True)
class Spread:
    """Values by size: how many were up to each bound and above the one before, at last above all; and their sum."""

    counts: tuple[int, ...]
    total: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One value of a metric, with its labels' values in the definition's order; a histogram's is a spread."""

    definition: Definition
    value: float | Spread
    labels: tuple[str, ...] = ()


def _counter(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name, "counter", meaning, labels)


def _gauge(name: str, meaning: str, *labels: str) -> Definition:
    return Definition(name, "gauge", meaning, labels)


# ── from Kafka: each ingest worker since its start ──
MESSAGES: Final = _counter(
    "messages_consumed_total",
    "Kafka messages consumed and made durable, since the worker started.",
    "worker",
)
READINGS: Final = _counter(
    "sensor_storage_readings_total",
    "Readings found in the messages and made durable, since the worker started.",
    "worker",
)
DEAD_LETTERS: Final = _counter(
    "sensor_storage_dead_letters_total",
    "Messages that could not become readings and are kept whole, by reason, since the worker started.",
    "worker",
    "reason",
)
EMPTY: Final = _counter(
    "sensor_storage_empty_messages_total",
    "Messages without a value, since the worker started: neither readings nor dead letters.",
    "worker",
)
SKIPPED: Final = _counter(
    "sensor_storage_skipped_messages_total",
    "Messages delivered again and passed over, because they are stored already, since the worker started.",
    "worker",
)
GAPS: Final = _counter(
    "sensor_storage_offset_gaps_total",
    "Stretches of offsets that Kafka no longer had when they were due, since the worker started.",
    "worker",
)
SEGMENTS: Final = _counter(
    "sensor_storage_segments_total", "Segments written to staging, since the worker started.", "worker"
)
SEGMENT_BYTES: Final = _counter(
    "sensor_storage_segment_bytes_total",
    "Bytes of segments written to staging, since the worker started.",
    "worker",
)
LAG: Final = _gauge("sensor_storage_lag_messages", "Messages that wait in Kafka, over all partitions.")
PARTITION_LAG: Final = _gauge(
    "sensor_storage_partition_lag_messages", "Messages that wait in one partition.", "topic", "partition"
)
LAG_SECONDS: Final = _gauge(
    "sensor_storage_lag_seconds",
    "How long ago, by Kafka's timestamps, the worker's least advanced partition is; under 2 when caught up.",
    "worker",
)
LATENCY: Final = Definition(
    "sensor_storage_latency_seconds",
    "histogram",
    "From Kafka's timestamp of a message until its readings are durable and can be queried, since the start.",
    ("worker",),
    (0.5, 1, 2, 5, 10, 30, 60, 300, 1800, 3600, 21600, 86400),
)
WATERMARK: Final = _gauge(
    "sensor_storage_watermark_timestamp_seconds",
    "The least Kafka timestamp consumed over the worker's partitions.",
    "worker",
)
TOPICS: Final = _gauge("sensor_storage_topics", "Topics that match KAFKA_TOPIC_PATTERN.", "worker")
PARTITIONS: Final = _gauge("sensor_storage_partitions", "Partitions the worker reads.", "worker")
PAUSED: Final = _gauge(
    "sensor_storage_paused", "1 while the worker fetches nothing, as for a full disk; else 0.", "worker"
)
DEAD_LETTERS_USED: Final = _gauge(
    "sensor_storage_dead_letters_used_ratio",
    "The share of DEAD_LETTERS_MAX_BYTES that dead letters take; consumption pauses at 1.",
    "worker",
)
KAFKA_UP: Final = _gauge(
    "sensor_storage_kafka_up", "1 while the worker reaches Kafka without an error; else 0.", "worker"
)

# ── what is stored: by ledger, staging and catalog ──
RECEIVED_MESSAGES: Final = _gauge(
    "sensor_storage_received_messages", "Messages the ledger answers for, over all time."
)
RECEIVED_READINGS: Final = _gauge(
    "sensor_storage_received_readings", "Readings those messages held, by the ledger."
)
STORED_READINGS: Final = _gauge(
    "sensor_storage_stored_readings", "Readings in hour files and staging; to equal those received."
)
LAMP: Final = _gauge(
    "sensor_storage_lamp", "1 while as many readings are stored as were received, else 0: the page's lamp."
)
KEPT_DEAD_LETTERS: Final = _gauge(
    "sensor_storage_kept_dead_letters", "Dead letters kept in the data directory, by the ledger."
)
KEPT_GAPS: Final = _gauge(
    "sensor_storage_recorded_gaps",
    "Stretches of offsets that Kafka no longer had when they were due, by the ledger, over all time.",
)
STAGED_FILES: Final = _gauge("sensor_storage_staged_files", "Segments and runs in staging.")
STAGED_BYTES: Final = _gauge("sensor_storage_staged_bytes", "Bytes of segments and runs in staging.")
WAITING_READINGS: Final = _gauge(
    "sensor_storage_waiting_readings", "Readings in staging that are not yet in their hour file."
)
OLDEST_WAITING: Final = _gauge(
    "sensor_storage_oldest_staged_age_seconds", "Age of the oldest file in staging; 0 with none."
)
HOUR_FILES: Final = _gauge("sensor_storage_hour_files", "Hour files in the raw tree.")
USED: Final = _gauge("storage_used_bytes", "Bytes of all files in the data directory.")
PART_BYTES: Final = _gauge(
    "sensor_storage_part_bytes",
    "Bytes in one part of the data directory: raw, aggregated, staging, deadletter, ledger.",
    "part",
)
DISK_FREE: Final = _gauge("sensor_storage_disk_free_bytes", "Room left on the data directory's disk.")
DISK_SIZE: Final = _gauge("sensor_storage_disk_size_bytes", "Size of the data directory's disk.")

# ── the compact stage, since the maintain worker started ──
ROUNDS: Final = _counter("sensor_storage_compact_rounds_total", "Rounds of compaction, since the start.")
HOUR_FILES_WRITTEN: Final = _counter(
    "sensor_storage_compact_hour_files_written_total", "Hour files written, since the start."
)
RUNS_WRITTEN: Final = _counter("sensor_storage_compact_runs_written_total", "Runs written, since the start.")
WRITTEN_BYTES: Final = _counter(
    "sensor_storage_compact_written_bytes_total", "Bytes of hour files and runs written, since the start."
)
ROUND_SECONDS: Final = _gauge(
    "sensor_storage_compact_last_round_seconds", "How long the last round of compaction took."
)
BLOCKED: Final = _gauge(
    "sensor_storage_blocked_files", "Damaged files whose readings can't be put in place; see `status`."
)

# ── the aggregate stage, since the maintain worker started ──
DUE_AGGREGATES: Final = _gauge(
    "sensor_storage_due_aggregates",
    "Sensor-hours that are over and have readings their aggregates do not have yet.",
)
AGGREGATED_READINGS: Final = _counter(
    "sensor_storage_aggregate_readings_total", "Readings that aggregates were made of, since the start."
)
MENDED_AGGREGATES: Final = _counter(
    "sensor_storage_mended_aggregates_total",
    "Sensor-hours made again because late readings reached them, since the start.",
)
AGGREGATE_FILES_WRITTEN: Final = _counter(
    "sensor_storage_aggregate_files_written_total", "Aggregate files written, since the start."
)
AGGREGATE_WRITTEN_BYTES: Final = _counter(
    "sensor_storage_aggregate_written_bytes_total", "Bytes of aggregate files written, since the start."
)
AGGREGATE_SECONDS: Final = _gauge(
    "sensor_storage_aggregate_last_round_seconds", "How long the last round of aggregation took."
)
AGGREGATE_FILES: Final = _gauge("sensor_storage_aggregate_files", "Aggregate files in the aggregated tree.")

# ── the cold store, since its worker started ──
UPLOADS: Final = _counter("azure_upload_success_total", "Files uploaded to the cold store, since the start.")
UPLOAD_FAILURES: Final = _counter(
    "azure_upload_failures_total", "Uploads that failed and are tried again, since the start."
)
UPLOADED_BYTES: Final = _counter("sensor_storage_uploaded_bytes_total", "Bytes uploaded, since the start.")
UPLOAD_SECONDS: Final = _gauge("sensor_storage_upload_last_round_seconds", "How long the last upload took.")
UPLOAD_WAITING: Final = _gauge("sensor_storage_upload_waiting_files", "Files that wait to be uploaded.")
UPLOAD_FAILING: Final = _gauge(
    "sensor_storage_upload_failing_files", "Those of them that failed before; see /storage/stats."
)
UPLOAD_SEALED: Final = _gauge(
    "sensor_storage_upload_sealed_files",
    "Those that wait of hours that are over: the lamp's files to upload.",
)
OLDEST_UNSAFE: Final = _gauge(
    "sensor_storage_oldest_unsafe_seconds",
    "Age of the oldest hour with readings that only this disk and Kafka hold.",
)
STORE_AWAY: Final = _gauge("sensor_storage_store_away", "1 while the cold store does not answer.")
CLEANED: Final = _counter(
    "cleanup_files_deleted_total", "Files removed here, proven to be in the cold store, since the start."
)
CLEANED_BYTES: Final = _counter("sensor_storage_cleanup_bytes_total", "Their bytes, since the start.")
CLEANUP_SECONDS: Final = _gauge(
    "sensor_storage_cleanup_last_round_seconds", "How long the last cleanup took."
)
KEPT: Final = _gauge(
    "sensor_storage_cleanup_kept_files", "Old files that the last cleanup had to keep, by reason.", "reason"
)

# ── HTTP, since the API's process started ──
HTTP_ANSWERS: Final = _counter(
    "sensor_storage_http_answers_total", "Requests answered, by class of status, since the start.", "status"
)
HTTP_SECONDS: Final = _counter(
    "sensor_storage_http_seconds_total", "Time from requests to the ends of their answers, since the start."
)
HTTP_AT_ONCE: Final = _gauge(
    "sensor_storage_http_requests", "Requests being answered, but for health and metrics."
)

# ── the service ──
HEALTH: Final = _gauge(
    "sensor_storage_health", "1 for the state the service is in, 0 for the others.", "state"
)
HALTED: Final = _gauge(
    "sensor_storage_halted", "1 while the worker has stopped rather than lose or double readings.", "worker"
)
STATUS_AGE: Final = _gauge(
    "sensor_storage_status_age_seconds", "How long ago the worker last reported; about 1 when well.", "worker"
)
STARTED: Final = _gauge(
    "sensor_storage_worker_start_time_seconds", "When the worker started, in seconds since 1970.", "worker"
)
RESIDENT: Final = _gauge(
    "sensor_storage_process_resident_bytes", "Memory the worker's process holds.", "worker"
)
CPU_SECONDS: Final = _counter(
    "sensor_storage_process_cpu_seconds_total", "Processor time the worker's process has used.", "worker"
)
BUILD: Final = _gauge("sensor_storage_build_info", "Always 1; the label says which version runs.", "version")

DEFINITIONS: Final = tuple(item for item in list(globals().values()) if isinstance(item, Definition))
"""Every metric there is, in the order of this file."""
