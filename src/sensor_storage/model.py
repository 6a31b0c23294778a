"""The words of the design as types; `docs/architecture.md` has the glossary."""

from datetime import UTC, datetime
from typing import NamedTuple

MICROSECONDS_PER_HOUR = 3_600_000_000

DECODE_REVISION = 2
"""Version of the rules that turn a message into readings; raised when equal messages decode differently."""


IMPORTED = "file:"
"""With this begins the topic of a source that is an imported file; its digest follows."""


class Series(NamedTuple):
    """One sensor of one asset, by the names its messages carry."""

    asset: str
    sensor: str


class SensorHour(NamedTuple):
    """All readings of one sensor in one UTC hour; one file in `raw/`. `hour` counts hours since 1970-01-01."""

    series: Series
    hour: int

    @property
    def start(self) -> datetime:
        """The first instant of the hour."""
        return datetime.fromtimestamp(self.hour * 3600, UTC)


class Source(NamedTuple):
    """Where readings came from: a partition of a topic under one leader epoch.

    `topic_id` is empty where the broker has none, `leader_epoch` is -1 where it is unknown.
    """

    topic: str
    topic_id: str
    partition: int
    leader_epoch: int

    @property
    def is_import(self) -> bool:
        """Is it a file that `backfill` took in, whose rows are the messages?"""
        return self.topic.startswith(IMPORTED)


class Address(NamedTuple):
    """Which Kafka message: its source and offset."""

    source: Source
    offset: int

    def __str__(self) -> str:
        """Read as `topic/partition@offset`."""
        return f"{self.source.topic}/{self.source.partition}@{self.offset}"
