"""One ingest worker in the test's own process, driven by `run_once` against a real broker."""

import contextlib
import itertools
import time
from collections.abc import Callable, Iterable, Iterator
from functools import partial

from sensor_storage.clock import SystemClock
from sensor_storage.errors import Transient
from sensor_storage.kafka.consumer import GroupConsumer
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.ingest import Ingest, IngestPolicy
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, uncovered
from sensor_storage.storage.ledger_files import read_all_ledgers

_NUMBERS = itertools.count()


class Member:
    """A member of the group, on a directory that it may share with others."""

    def __init__(
        self,
        layout: Layout,
        bootstrap_servers: str,
        *topics: str,
        group: str,
        instance: str = "one",
        segment_seconds: float = 0.1,
        reset: str = "earliest",
        **client: str | int,
    ) -> None:
        self.layout = layout
        self._directory = TopicDirectory({"bootstrap.servers": bootstrap_servers})
        self._topics = list(topics)
        self._found = self._directory.ids(self._topics)
        membership = {
            "bootstrap.servers": bootstrap_servers,
            "group.id": group,
            "group.instance.id": instance,
            "session.timeout.ms": 6_000,
            "heartbeat.interval.ms": 500,
            **client,
        }
        self.ingest = Ingest(
            worker=f"i{next(_NUMBERS)}",
            layout=layout,
            disk=Disk(layout.root),
            clock=SystemClock(),
            decode=Decoder(DecodeSettings(topic_pattern="^.*")).decode,
            ledger=lambda: read_all_ledgers(layout),
            policy=IngestPolicy(segment_interval_seconds=segment_seconds, commit_interval_seconds=0.2),
            topics=self._directory,
            join_group=partial(GroupConsumer, membership, reset=reset),
        )

    def step(self) -> None:
        """One `run_once`; what is only to be waited for is waited for."""
        with contextlib.suppress(Transient):
            self.ingest.run_once(self._found)

    def look_for_topics(self) -> None:
        """List the topics again."""
        self._found = self._directory.ids(self._topics)

    def also(self, topics: Iterable[str]) -> None:
        """Read these topics as well."""
        self._topics = sorted({*self._topics, *topics})
        self.look_for_topics()

    def until(self, true: Callable[[], object], what: str, *, seconds: float = 30) -> None:
        """Run until it is true."""
        run_until([self], true, what, seconds=seconds)

    def entries(self) -> list[LedgerEntry]:
        """What the directory's ledger says, each address once."""
        return list(uncovered(read_all_ledgers(self.layout)))

    def messages(self) -> int:
        """How many messages the ledger answers for."""
        return sum(entry.messages for entry in self.entries())

    def gaps(self) -> list[tuple[int, int]]:
        """The recorded gaps."""
        return [(entry.start, entry.stop) for entry in self.entries() if entry.fate == "gap"]

    def lag(self) -> int:
        """Offsets between what is durable and the ends of the partitions."""
        ends = self.ingest.consumer.ends()
        return sum(ends[key] - offset for key, offset in self.ingest.positions.durable.items())


def run_until(members: list[Member], true: Callable[[], object], what: str, *, seconds: float = 30) -> None:
    """Run the members in turn until it is true; past the deadline fail with `what` was waited for."""
    deadline = time.monotonic() + seconds
    while not true():
        if time.monotonic() > deadline:
            raise AssertionError(f"waited {seconds:g} s in vain: {what}")
        for member in members:
            member.step()


@contextlib.contextmanager
def member(layout: Layout, bootstrap_servers: str, *topics: str, **options: object) -> Iterator[Member]:
    """A member that leaves at the end, whatever the test makes of it."""
    one = Member(layout, bootstrap_servers, *topics, **options)  # type: ignore[arg-type]
    try:
        yield one
    finally:
        one.ingest.consumer.close()
