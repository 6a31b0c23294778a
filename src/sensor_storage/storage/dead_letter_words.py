"""Dead letters as people and programs read them: one shape for the command line and the API."""

import base64
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from sensor_storage.model import Address
from sensor_storage.storage.dead_letters import DeadLetter
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.layout import Layout

_EPOCH: Final = datetime.fromtimestamp(0, UTC)


def chosen_by(reason: str | None, topic: str | None) -> Callable[[DeadLetter], bool]:
    """Is a letter one of this reason and topic? None is any."""
    return lambda letter: reason in {None, letter.reason} and topic in {None, letter.address.source.topic}


def replayed(layout: Layout) -> set[Address]:
    """The letters that have become readings since, by the ledger."""
    entries = entries_now(layout)
    return {Address(entry.source, entry.start) for entry in entries if entry.fate == "replayed"}


def line_of(letter: DeadLetter) -> dict[str, object]:
    """What tells a letter from others, and why it is one."""
    return {
        "kafka_topic": letter.address.source.topic,
        "kafka_partition": letter.address.source.partition,
        "kafka_offset": letter.address.offset,
        "kafka_timestamp": time_of(letter.timestamp),
        "reason": letter.reason,
        "error": letter.error,
        "value_bytes": None if letter.value is None else len(letter.value),
    }


def record_of(letter: DeadLetter, most: int | None = None) -> dict[str, object]:
    """The whole message; of its value the first `most` bytes or letters, if that is given."""
    source = letter.address.source
    return {
        **line_of(letter),
        "kafka_topic_id": source.topic_id or None,
        "kafka_leader_epoch": source.leader_epoch,
        **_bytes("key", letter.key, most),
        **_bytes("value", letter.value, most),
        "headers": [{"name": name, **_bytes("value", value, most)} for name, value in letter.headers],
    }


def time_of(milliseconds: int) -> str:
    """As ISO 8601; what a producer has set beyond the calendar as a number."""
    try:
        moment = _EPOCH + timedelta(milliseconds=milliseconds)
    except OverflowError:
        return f"{milliseconds} ms since 1970"
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _bytes(name: str, data: bytes | None, most: int | None) -> dict[str, str | None]:
    """`name` as text where the bytes are UTF-8, else `name_base64`."""
    if data is None:
        return {name: None}
    try:
        return {name: data.decode()[:most]}
    except UnicodeDecodeError:
        return {f"{name}_base64": base64.b64encode(data[:most]).decode()}
