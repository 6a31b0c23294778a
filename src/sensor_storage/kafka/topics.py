"""Which topics to consume: those whose names match the pattern, found again every few seconds."""

import re
from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from sensor_storage.errors import Transient
from sensor_storage.log import get

REFRESH_SECONDS = 10
_TIMEOUT_SECONDS = 10
_log = get("kafka")

TopicIds = Mapping[str, str]
"""Topic name to topic id; the id is empty where the broker has none."""


class TopicDirectory:
    """What the broker says of topics and their ids."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self._where = config["bootstrap.servers"]
        self._admin = AdminClient({**config, "log_level": 0})  # what it would print, it also raises

    def matching(self, pattern: re.Pattern[str]) -> dict[str, str]:
        """The ids of the topics whose names match. Transient when the broker does not answer."""
        try:
            listed = self._admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
        except KafkaException as error:
            words = error.args[0].str()
            raise Transient(
                f"list topics of {self._where}: {words}", hint="check KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        names = [name for name, topic in listed.items() if pattern.match(name) and topic.error is None]
        return self.ids(names)

    def ids(self, names: list[str]) -> dict[str, str]:
        """The ids of the named topics that exist."""
        if not names:
            return {}
        futures = self._admin.describe_topics(TopicCollection(names), request_timeout=_TIMEOUT_SECONDS)
        ids = {}
        for name, future in futures.items():
            try:
                ids[name] = _spelled(future.result())
            except KafkaException as error:
                if (
                    error.args[0].retriable() or error.args[0].code() < 0
                ):  # the client's own, such as no answer
                    hint = "check KAFKA_BOOTSTRAP_SERVERS"
                    raise Transient(f"describe topic {name}: {error.args[0].str()}", hint=hint) from error
                _log.info("topic_not_described", topic=name, error=str(error))
        return ids


def _spelled(description: Any) -> str:  # noqa: ANN401 - the client's class has no type
    found = str(description.topic_id) if description.topic_id is not None else ""
    return "" if set(found) <= {"A"} else found


class TopicWatch:
    """The matching topics, kept up to date by a thread, so that consuming never waits for a listing."""

    def __init__(self, directory: TopicDirectory, pattern: re.Pattern[str]) -> None:
        self._directory = directory
        self._pattern = pattern
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="topic-watch", daemon=True)
        self.found: dict[str, str] | None = None
        self.error = ""

    @property
    def pattern(self) -> str:
        """What names are matched against."""
        return self._pattern.pattern

    def start(self) -> None:
        """Begin to look."""
        self._thread.start()

    def stop(self) -> None:
        """Look no more."""
        self._stop.set()

    def _watch(self) -> None:
        while True:
            try:
                found = self._directory.matching(self._pattern)
                if not found and self.found != found:
                    _log.warning("no_topic_matches", pattern=self._pattern.pattern)
                self.found = found
                self.error = ""
            except Transient as error:
                if not self.error:
                    _log.warning("broker_unreachable", error=str(error), hint=error.hint)
                self.error = str(error)
            if self._stop.wait(REFRESH_SECONDS if not self.error else 1):
                return
