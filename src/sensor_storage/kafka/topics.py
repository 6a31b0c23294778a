"""Which topics to consume: those whose names match the pattern, found again every few seconds."""

import re
from collections.abc import Mapping
from threading import Event, Thread
from typing import Any

from confluent_kafka import KafkaException, TopicCollection
from confluent_kafka.admin import AdminClient

from sensor_storage.config.event_hubs import is_event_hubs
from sensor_storage.errors import Transient
from sensor_storage.log import get

REFRESH_SECONDS = 10
_OTHERS = 20
_TIMEOUT_SECONDS = 10
_log = get("kafka")

TopicIds = Mapping[str, str]
"""Topic name to topic id; the id is empty where the broker has none."""


class TopicDirectory:
    """What the broker says of topics and their ids."""

    def __init__(self, config: Mapping[str, Any]) -> None:
        self.where: str = config["bootstrap.servers"]
        self._admin = AdminClient({**config, "log_level": 0})  # what it would print, it also raises
        self._has_ids = not is_event_hubs(config)
        if not self._has_ids:
            _log.info(
                "topics_without_ids", hint="what is read again is stored again, and the union makes one of it"
            )

    def names(self) -> list[str]:
        """The topics there are, without Kafka's own. Transient when the broker does not answer."""
        try:
            listed = self._admin.list_topics(timeout=_TIMEOUT_SECONDS).topics
        except KafkaException as error:
            words = error.args[0].str()
            raise Transient(
                f"list topics of {self.where}: {words}", hint="check KAFKA_BOOTSTRAP_SERVERS"
            ) from error
        return [name for name, topic in listed.items() if topic.error is None and not name.startswith("__")]

    def ids(self, names: list[str]) -> dict[str, str]:
        """The ids of the named topics that exist; Azure Event Hubs has none, and is not asked."""
        if not names:
            return {}
        if not self._has_ids:
            return dict.fromkeys(set(names).intersection(self.names()), "")
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
    """The matching topics, kept up to date by a thread, so that consuming never waits for a listing.

    `others` are the first few that there are where none matches: so does a wrong pattern show.
    """

    def __init__(self, directory: TopicDirectory, pattern: re.Pattern[str]) -> None:
        self._directory = directory
        self._pattern = pattern
        self._stop = Event()
        self._thread = Thread(target=self._watch, name="topic-watch", daemon=True)
        self.found: dict[str, str] | None = None
        self.others: tuple[str, ...] = ()
        self.error = ""

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
                found = self._directory.ids([name for name in names if self._pattern.match(name)])
                if not found and self.found != found:
                    _log.warning("no_topic_matches", pattern=self._pattern.pattern)
                self.others = () if found else tuple(sorted(names)[:_OTHERS])
                self.found = found
                self.error = ""
            except Transient as error:
                if not self.error:
                    _log.warning("broker_unreachable", error=str(error), hint=error.hint)
                self.error = str(error)
            if self._stop.wait(REFRESH_SECONDS if not self.error else 1):
                return
