"""Where a message's names come from: its own fields by alias, then the topic, then the Kafka key."""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import NamedTuple

from sensor_storage.errors import Usage

ENTRIES = "readings"
FIELD_MAP = "values"
_FORM_KEYS = frozenset({ENTRIES, FIELD_MAP})
_GROUPS = frozenset({"asset_id", "sensor_name"})
_SPECIAL = frozenset(".^$*+?{}[]|()\\")
_OPTIONAL = frozenset("*?{")


@dataclass(frozen=True, slots=True)
class Aliases:
    """The spellings of each part of a message; the first in the list that a message has wins."""

    asset: tuple[str, ...] = ("asset_id", "asset", "device_id", "device", "daqid")
    sensor: tuple[str, ...] = ("sensor_name", "sensor_id", "sensor", "tag", "name", "metric")
    time: tuple[str, ...] = ("timestamp", "ts", "time", "@timestamp")
    value: tuple[str, ...] = ("value", "v", "val")
    unit: tuple[str, ...] = ("unit",)
    quality: tuple[str, ...] = ("quality", "q", "status_code")
    rate: tuple[str, ...] = ("sample_rate_hz",)

    @classmethod
    def with_further(cls, further: Mapping[str, Sequence[str]]) -> "Aliases":
        """The defaults behind further spellings by role; a spelling given to one role leaves the others."""
        given = {name for names in further.values() for name in names}
        return cls(
            **{
                role.name: (
                    *further.get(role.name, ()),
                    *(name for name in getattr(cls(), role.name) if name not in given),
                )
                for role in fields(cls)
            }
        )

    def __post_init__(self) -> None:
        """Refuse a spelling with two meanings."""
        seen: dict[str, str] = dict.fromkeys(_FORM_KEYS, "the form of the message")
        for role in fields(self):
            for name in getattr(self, role.name):
                if name in seen:
                    raise Usage(
                        f'the field name "{name}" cannot stand for both {seen[name]} and {role.name}',
                        hint="Give each field name once in FIELD_ALIASES.",
                    )
                seen[name] = role.name


class TopicNames(NamedTuple):
    """What a topic's name says.

    `asset` and `sensor` come from the pattern's named groups; `remainder`, where the pattern has none, is
    the topic behind the pattern's fixed prefix: the sensor of a bare narrow value.
    """

    asset: str | None
    sensor: str | None
    remainder: str | None


class TopicPattern:
    """Reads names from topics by the pattern they were subscribed with."""

    def __init__(self, pattern: str) -> None:
        try:
            self._pattern = re.compile(pattern)
        except re.error as error:
            raise Usage(
                f'the topic pattern "{pattern}" is no regular expression: {error}',
                hint="Correct KAFKA_TOPIC_PATTERN.",
            ) from error
        unknown = sorted(set(self._pattern.groupindex) - _GROUPS)
        if unknown:
            raise Usage(
                f'the topic pattern names a group "{unknown[0]}", which fills nothing',
                hint="Name the groups of KAFKA_TOPIC_PATTERN asset_id and sensor_name; use (?:…) for others.",
            )
        self._prefix = fixed_prefix(pattern)

    def names(self, topic: str) -> TopicNames:
        """The names in a topic; empty ones are missing."""
        if not self._pattern.groupindex:
            behind = topic[len(self._prefix) :] if topic.startswith(self._prefix) else ""
            return TopicNames(None, None, behind or None)
        match = self._pattern.match(topic)
        groups = match.groupdict() if match else {}
        return TopicNames(groups.get("asset_id") or None, groups.get("sensor_name") or None, None)


def fixed_prefix(pattern: str) -> str:
    """The literal text every match of a pattern begins with; a pattern with `|` has none."""
    if "|" in pattern:
        return ""
    prefix: list[str] = []
    rest = iter(range(1 if pattern.startswith("^") else 0, len(pattern)))
    for place in rest:
        letter = pattern[place]
        if letter == "\\" and place + 1 < len(pattern) and not pattern[place + 1].isalnum():
            letter = pattern[next(rest)]
        elif letter in _SPECIAL:
            if letter in _OPTIONAL and prefix:
                prefix.pop()
            break
        prefix.append(letter)
    return "".join(prefix)


@lru_cache(maxsize=1 << 14)
def key_asset(key: bytes | None) -> str | None:
    """The asset a Kafka key names: its text, if it is some."""
    if not key:
        return None
    try:
        return key.decode("utf-8")
    except UnicodeDecodeError:
        return None
