"""Builds ingest, apart from `main`: a killed worker's partitions wait for its restart, and it loads little."""

import importlib
import socket
import uuid
from functools import partial
from pathlib import Path

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.config.memory import plan_memory
from sensor_storage.ingest_loop import IngestLoop
from sensor_storage.kafka.backpressure import Limits
from sensor_storage.kafka.consumer import GroupConsumer
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.ingest import Ingest, IngestPolicy
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.registry import Registry, RegistryAccess, Schemas
from sensor_storage.kafka.topics import TopicDirectory, TopicWatch
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
    decoder = build_decoder(settings)
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
        watch=TopicWatch(topics, settings.kafka.topic_pattern, settings.kafka.consumer_group),
        ingest=lambda: Ingest(
            worker=f"i{uuid.uuid4().hex[:12]}",
            layout=layout,
            disk=disk,
            clock=clock,
            decode=decoder.decode,
            awaited=decoder.awaited,
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
    return Decoder(decode_settings(settings), build_schemas(settings))


def decode_settings(settings: Settings) -> DecodeSettings:
    """What decoding depends on beside the record."""
    aliases = settings.decode.field_aliases
    return DecodeSettings(
        topic_pattern=settings.kafka.topic_pattern.pattern,
        timestamp_min=int(settings.decode.timestamp_min.timestamp() * _MICROSECONDS),
        timestamp_max_ahead=int(settings.decode.timestamp_max_ahead.total_seconds() * _MICROSECONDS),
        time_zone=settings.decode.time_zone,
        aliases=Aliases.with_further(aliases.by_role if aliases else {}),
        message_format=settings.decode.message_format,
    )


def build_schemas(settings: Settings) -> Schemas | None:
    """Numbers → how to read what is behind them."""
    access = registry_access(settings)
    if access is None:
        return None
    makers = importlib.import_module("sensor_storage.kafka.schema_kinds").MAKERS
    return Schemas(Registry(access).get, makers, SystemClock())


def registry_access(settings: Settings) -> RegistryAccess | None:
    """Where the schema registry is and how to log in, secrets in clear; None without one."""
    chosen = settings.schema_registry
    if chosen.url is None:
        return None
    return RegistryAccess(
        urls=chosen.url,
        username=chosen.username or "",
        password=chosen.password.get_secret_value() if chosen.password else "",
        token=chosen.token.get_secret_value() if chosen.token else "",
        ca=chosen.ca_location,
        certificate=chosen.certificate_location,
        key=chosen.key_location,
    )


def build_log_reader(settings: Settings) -> LogReader:
    """Reads Kafka by offset, in no group."""
    return LogReader(settings.kafka.client_properties(), settings.kafka.consumer_group)


def member_name(settings: Settings, layout: Layout, worker: str) -> str:
    """The static group member's name of one worker."""
    return f"{instance_id(settings, layout)}-{worker}"


def instance_id(settings: Settings, layout: Layout) -> str:
    """The name all static members of this directory begin with: the setting, or one kept in the directory."""
    if settings.kafka.group_instance_id:
        return settings.kafka.group_instance_id
    path: Path = layout.instance_id
    if not path.exists():
        name = f"{socket.gethostname()}-{uuid.uuid4().hex[:12]}"
        Disk(layout.root).publish_bytes(path, name.encode())
    return path.read_text().strip()
