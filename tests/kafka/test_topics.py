import re
from pathlib import Path

import pytest

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.errors import Transient
from sensor_storage.kafka.topics import TopicDirectory, TopicWatch
from support.kafka_io import create_topic
from support.prometheus import free_port
from support.proxy import proxy
from support.waiting import wait_until


def _looked(broker: EmbeddedBroker, pattern: str) -> TopicWatch:
    directory = TopicDirectory({"bootstrap.servers": broker.bootstrap_servers})
    watch = TopicWatch(directory, re.compile(pattern), "no-such-group")
    watch.start()
    wait_until(lambda: watch.found is not None, "the topics are listed")
    watch.stop()
    return watch


def test_a_pattern_that_matches_nothing_learns_which_topics_there_are(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, f"0-{topic_prefix}")  # among the first, however many there are
    watch = _looked(broker, "^nothing-is-called-so$")
    assert watch.found == {}
    assert f"0-{topic_prefix}" in watch.others
    assert len(watch.others) <= 20
    assert not any(name.startswith("__") for name in watch.others)


def test_a_pattern_that_matches_has_nothing_to_explain(broker: EmbeddedBroker, topic_prefix: str) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    watch = _looked(broker, f"^{topic_prefix}$")
    assert list(watch.found or ()) == [topic_prefix]
    assert watch.others == ()


def test_after_a_question_that_had_no_answer_the_next_one_has(tmp_path: Path) -> None:
    with proxy() as between:
        between.target = free_port()
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{between.port}"}
        with EmbeddedBroker(tmp_path / "kafka", port=between.target, properties=advertised) as broker:
            create_topic(broker.bootstrap_servers, "a")
            directory = TopicDirectory({"bootstrap.servers": f"127.0.0.1:{between.port}"})
            assert directory.names() == ["a"]
            for ask in (directory.names, lambda: directory.ids(["a"])):
                with between.silent(), pytest.raises(Transient):
                    ask()
                assert [*ask()] == ["a"]
            with between.silent():
                assert directory.read_by("nobody") == set()
            assert directory.names() == ["a"]
