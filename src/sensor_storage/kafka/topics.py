"""Which topics to consume: those whose names match the pattern, found again every few seconds."""

import re
from collections.abc import Mapping
from threading import Event, Thread
from typing import Any, NamedTuple

from confluent_kafka import ConsumerGroupState, KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from sensor_storage.config.event_hubs import is_event_hubs
from sensor_storage.errors import Transient
from sensor_storage.log import get

REFRESH_SECONDS = 10
_LOOKS_BETWEEN_CALLS = 3
_OTHERS = 20
_TIMEOUT_SECONDS = 10
_log = get("kafka")

TopicIds = Mapping[str, str]
"""Topic name to topic id; the id is empty where the broker has none."""


class Topic(NamedTuple):
    """What is asked of a topic: its id, and how many partitions it has."""

    id: str
    partitions: int


class TopicDirectory:
    """What the broker says of topics and their ids."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.where: str = config["bootstrap.servers"]
        self._config = {**config, "log_level": 0}  # what it would print, it also raises
        self._admin = AdminClient(self._config)
        self._has_ids = not is_event_hubs(config)
        if not self._has_ids:
            _log.info(
                "topics_without_ids", hint="what is read again is stored again, and the union makes one of it"
            )

    def names(self) -> list[str]:
        """The topics there are, without Kafka's own. Transient when the broker does not answer."""
        return list(self._listed())

    def ids(self, names: list[str]) -> dict[str, str]:
        """The ids of the named topics that exist."""
        return {name: topic.id for name, topic in self.described(names).items()}

    def described(self, names: list[str]) -> dict[str, Topic]:
        """Those of the named topics that exist; Azure Event Hubs has no ids, and is not asked for them."""
        if not names:
            return {}
        if not self._has_ids:
            listed = self._listed()
            return {name: Topic("", len(listed[name].partitions)) for name in names if name in listed}
        admin = self._admin  # to the end of the question, whatever another thread does meanwhile
        futures = admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT_SECONDS)
        found = {}
        for name, future in futures.items():
            try:
                told = future.result()
                found[name] = Topic(_spelled(told), len(told.partitions))
            except KafkaException as error:
                if error.args[0].retriable() or _is_own(error):
                    raise self._no_answer(f"describe topic {name}", error) from error
                _log.info("topic_not_described", topic=name, error=str(error))
        return found

    def read_by(self, group: str) -> set[tuple[str, int]]:
        """The partitions the members of the group have; none while it shares them out or does not tell."""
        admin = self._admin
        try:
            futures = admin.describe_consumer_groups([group], request_timeout=_TIMEOUT_SECONDS)
            told = futures[group].result()
        except KafkaException as error:
            _log.debug("group_not_described", group=group, error=str(error))
            if _is_own(error):
                self._renew()
            return set()
        if told.state is not ConsumerGroupState.STABLE:
            return set()
        parts = (part for member in told.members for part in member.assignment.topic_partitions)
        return {(part.topic, part.partition) for part in parts}

    def _no_answer(self, act: str, error: KafkaException) -> Transient:
        """The error to raise."""
        self._renew()
        return Transient(f"{act}: {error.args[0].str()}", hint="check KAFKA_BOOTSTRAP_SERVERS")

    def _renew(self) -> None:
        """Let a new client ask the next question: after a broker hung, the old one may never find it again."""
        self._admin = AdminClient(self._config)

    def _listed(self) -> dict[str, Any]:
        try:
            listed = self._admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
        except KafkaException as error:
            raise self._no_answer(f"list topics of {self.where}", error) from error
        return {
            name: topic for name, topic in listed.items() if topic.error is None and not name.startswith("__")
        }


def _is_own(error: KafkaException) -> bool:
    """Is it the client's, such as no answer, and none that the broker gave?"""
    return bool(error.args[0].code() < 0)


def _spelled(description: Any) -> str:  # noqa: ANN401 - the client's class has no type
    found = str(description.topic_id) if description.topic_id is not None else ""
    return "" if set(found) <= {"A"} else found


class TopicWatch:
    """The matching topics, kept up to date by a thread, so that consuming never waits for a listing.

    `others` are the first few that there are where none matches: so does a wrong pattern show. `unread` are
    partitions that were there at the look before, and that no member of the settled `group` has: a static member
    that comes back within its session is given what it had, and nobody looks what there is since.
    """

    def __init__(self, directory: TopicDirectory, pattern: re.Pattern[str], group: str) -> None:
        self._directory = directory
        self._pattern = pattern
        self._group = group
        self._listed: set[tuple[str, int]] = set()
        self._looks_until_call = 0
        self._call: list[tuple[str, int]] = []
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="topic-watch", daemon=True)
        self.found: dict[str, str] | None = None
        self.others: tuple[str, ...] = ()
        self.unread: set[tuple[str, int]] = set()
        self.error = ""

    def call(self) -> list[tuple[str, int]]:
        """The unread partitions, once: who asks is to have the group share anew. Again only after a while."""
        called, self._call = self._call, []
        return called

    @property
    def pattern(self) -> str:
        """What names are matched against."""
        return self._pattern.pattern

    @property
    def bootstrap_servers(self) -> str:
        """Where the broker is asked."""
        return self._directory.where

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _watch(self) -> None:
        while True:
            try:
                names = self._directory.names()
                topics = self._directory.described([name for name in names if self._pattern.match(name)])
                found = {name: topic.id for name, topic in topics.items()}
                if not found and self.found != found:
                    _log.warning("no_topic_matches", pattern=self._pattern.pattern)
                self.others = () if found else tuple(sorted(names)[:_OTHERS])
                self.found = found
                self._look_for_unread(topics)
                self.error = ""
            except Transient as error:
                if not self.error:
                    _log.warning("broker_unreachable", error=str(error), hint=error.hint)
                self.error = str(error)
            if self._stop.wait(REFRESH_SECONDS if not self.error else 1):
                return

    def _look_for_unread(self, topics: Mapping[str, Topic]) -> None:
        before = self._listed
        self._listed = {
            (name, number) for name, topic in topics.items() for number in range(topic.partitions)
        }
        read = self._directory.read_by(self._group) if before else set()
        self.unread = before & self._listed - read if read else set()
        self._looks_until_call = max(0, self._looks_until_call - 1)
        if self.unread and not self._looks_until_call:
            self._looks_until_call = _LOOKS_BETWEEN_CALLS
            self._call = sorted(self.unread)
