"""Builds the service in flow order, and decides nothing."""

import socket
import uuid
from collections.abc import Callable, Iterable
from functools import partial
from pathlib import Path
from threading import Event

from sensor_storage.aggregation.files import Parameters
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy, Aggregator
from sensor_storage.aggregation.windows import LEVELS
from sensor_storage.api.keys import KeyRing
from sensor_storage.api.server import serve
from sensor_storage.api.tls import Certificate
from sensor_storage.clock import Clock, SystemClock
from sensor_storage.config import Settings
from sensor_storage.config.memory import plan_memory
from sensor_storage.kafka.backpressure import Limits
from sensor_storage.kafka.consumer import GroupConsumer
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.handover import leave_group
from sensor_storage.kafka.ingest import Ingest, IngestPolicy
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.topics import TopicDirectory, TopicWatch
from sensor_storage.pipeline import IngestLoop, Loop, MaintainLoop
from sensor_storage.storage.accounts import Accounts
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger_files import read_all_ledgers

_MICROSECONDS = 1_000_000


def layout_of(settings: Settings) -> Layout:
    """Where this service keeps everything."""
    return Layout(settings.storage.local_storage_path)


def build_ingest(settings: Settings, worker: str) -> IngestLoop:
    """Kafka → decode → segments."""
    clock = SystemClock()
    layout = layout_of(settings)
    disk = Disk(layout.root)
    client = {**settings.kafka.client_properties(), "client.id": f"sensor-storage-{worker}"}
    topics = TopicDirectory(client)
    memory = plan_memory(settings.service.memory_limit)
    membership = {
        **client,
        "group.id": settings.kafka.consumer_group,
        "group.instance.id": member_name(settings, layout, worker),
        "group.protocol": settings.kafka.group_protocol,
        "queued.max.messages.kbytes": memory.fetch_queue_kilobytes,
    }
    reset = settings.kafka.auto_offset_reset
    return IngestLoop(
        worker=worker,
        layout=layout,
        disk=disk,
        clock=clock,
        limits=Limits(
            disk_high=settings.storage.disk_high_watermark,
            disk_low=settings.storage.disk_low_watermark,
            staging_max_bytes=settings.storage.staging_max_bytes,
            dead_letters_max_bytes=settings.storage.dead_letters_max_bytes,
        ),
        watch=TopicWatch(topics, settings.kafka.topic_pattern),
        ingest=lambda: Ingest(
            worker=f"i{uuid.uuid4().hex[:12]}",
            layout=layout,
            disk=disk,
            clock=clock,
            decode=build_decoder(settings).decode,
            ledger=partial(read_all_ledgers, layout),
            policy=IngestPolicy(
                max_rows=settings.ingest.max_rows_per_file,
                max_bytes=memory.segment_bytes,
                segment_interval_seconds=settings.ingest.segment_interval.total_seconds(),
                commit_interval_seconds=settings.ingest.commit_interval.total_seconds(),
                compression=settings.storage.parquet_compression,
            ),
            topics=topics,
            join_group=partial(GroupConsumer, membership, reset=reset),
        ),
    )


def build_decoder(settings: Settings) -> Decoder:
    """Messages → readings."""
    aliases = settings.decode.field_aliases
    return Decoder(
        DecodeSettings(
            topic_pattern=settings.kafka.topic_pattern.pattern,
            timestamp_min=int(settings.decode.timestamp_min.timestamp() * _MICROSECONDS),
            timestamp_max_ahead=int(settings.decode.timestamp_max_ahead.total_seconds() * _MICROSECONDS),
            time_zone=settings.decode.time_zone,
            aliases=Aliases.with_further(aliases.by_role if aliases else {}),
            message_format=settings.decode.message_format,
        )
    )


def build_log_reader(settings: Settings) -> LogReader:
    """Reads Kafka by offset, in no group."""
    return LogReader(settings.kafka.client_properties(), settings.kafka.consumer_group)


def build_compactor(settings: Settings, layout: Layout, catalog: Catalog) -> Compactor:
    """Segments → runs → hour files."""
    memory = plan_memory(settings.service.memory_limit)
    return Compactor(
        layout,
        Disk(layout.root),
        catalog,
        WritePolicy(
            flush_interval_seconds=settings.compact.buffer_flush_interval.total_seconds(),
            open_hour_rewrite_factor=settings.compact.open_hour_rewrite_factor,
            compression=settings.storage.parquet_compression,
            block_rows=memory.merge_rows,
            index_entries=memory.index_entries,
        ),
        name=f"m{uuid.uuid4().hex[:12]}",
    )


def build_aggregator(settings: Settings, layout: Layout, catalog: Catalog) -> Aggregator:
    """Hour files → minutes → hours → days."""
    chosen = settings.aggregate
    numbering = settings.decode.quality_numbering
    judge = judge_by(numbering, uncertain_is_good=chosen.uncertain_is_good)
    return Aggregator(
        layout,
        Disk(layout.root),
        catalog,
        LocalHours(layout, judge),
        aggregate_policy(settings),
    )


def aggregate_policy(settings: Settings) -> AggregatePolicy:
    """What aggregates are made, with which parameters, and when."""
    chosen = settings.aggregate
    return AggregatePolicy(
        levels=LEVELS[: len(chosen.aggregation_levels)],
        parameters=Parameters(
            carry_limit_us=round(chosen.carry_limit.total_seconds() * _MICROSECONDS),
            quality_numbering=settings.decode.quality_numbering,
            uncertain_is_good=chosen.uncertain_is_good,
        ),
        settle_seconds=2 * settings.compact.buffer_flush_interval.total_seconds(),
    )


def build_maintain(settings: Settings) -> MaintainLoop:
    """Everything behind the segments."""
    layout = layout_of(settings)
    catalog = Catalog(layout)
    return MaintainLoop(
        layout=layout,
        clock=SystemClock(),
        catalog=catalog,
        compactor=build_compactor(settings, layout, catalog),
        accounts=Accounts(layout),
        aggregator=build_aggregator(settings, layout, catalog),
    )


class ApiLoop:
    """The HTTP server as a worker."""

    def __init__(self, settings: Settings, clock: Clock) -> None:
        self._settings = settings
        self._clock = clock

    def run(self, stop: Event) -> None:
        """Answer requests until told to stop."""
        service = self._settings.service
        serve(
            layout_of(self._settings),
            self._clock,
            host=service.host,
            port=service.port,
            stop=stop,
            parameters=aggregate_policy(self._settings).parameters,
            keys=build_keys(self._settings, self._clock),
            certificate=build_certificate(self._settings),
        )


def build_keys(settings: Settings, clock: Clock) -> KeyRing:
    """Who may ask. Usage when the keys are none."""
    given = settings.service.api_keys
    return KeyRing(clock, given.get_secret_value() if given else "", settings.service.api_keys_file)


def build_certificate(settings: Settings) -> Certificate | None:
    """What the API shows its callers, if it speaks TLS."""
    chain, key = settings.service.tls_cert_file, settings.service.tls_key_file
    return Certificate(chain, key) if chain and key else None


def build_worker(settings: Settings, worker: str) -> Loop:
    """The loop of one worker: `ingest-0`, `maintain` or `api`."""
    if worker == "maintain":
        return build_maintain(settings)
    if worker == "api":
        return ApiLoop(settings, SystemClock())
    return build_ingest(settings, worker)


def build_leave(settings: Settings, workers: Iterable[str]) -> Callable[[], None]:
    """What ends the membership of ingest workers that have closed, so that others read on at once."""
    layout = layout_of(settings)
    members = [member_name(settings, layout, worker) for worker in workers]
    return partial(leave_group, settings.kafka.client_properties(), settings.kafka.consumer_group, members)


def member_name(settings: Settings, layout: Layout, worker: str) -> str:
    """The static group member's name of one worker."""
    return f"{instance_id(settings, layout)}-{worker}"


def instance_id(settings: Settings, layout: Layout) -> str:
    """The name all static members of this directory begin with: the setting, or one kept in the directory."""
    if settings.kafka.group_instance_id:
        return settings.kafka.group_instance_id
    path: Path = layout.root / "instance-id"
    if not path.exists():
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        Disk(layout.root).publish_bytes(path, name.encode())
    return path.read_text().strip()
