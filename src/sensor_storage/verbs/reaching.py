"""Kafka asked whether it answers, before a verb does anything that it would be needed for in the end."""

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import build_log_reader
from sensor_storage.errors import Transient
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import is_fresh, read_ingest
from sensor_storage.verbs.options import Output


def reach_kafka(output: Output, settings: Settings, layout: Layout) -> None:
    """Transient unless the broker answers; that the directory's service reads from other addresses is told."""
    ours, theirs = settings.kafka.bootstrap_servers, _of_the_service(layout)
    other = "" if theirs in {"", ours} else f"the service of this directory reads from {theirs}"
    if other:
        output.warn(f"KAFKA_BOOTSTRAP_SERVERS is {ours}, while {other}")
    try:
        build_log_reader(settings).reach()
    except Transient as error:
        hint = f"{other}: set KAFKA_BOOTSTRAP_SERVERS to that; nothing was changed" if other else error.hint
        raise Transient(error.message, hint=hint) from error


def _of_the_service(layout: Layout) -> str:
    """From where the running service reads; empty where none runs or it does not tell."""
    now = SystemClock().now()
    told = (status.bootstrap_servers for status in read_ingest(layout) if is_fresh(status, now))
    return next(told, "")
