"""What Kafka can do to the running service: what is stored then, what is recorded, and what its operator sees."""

import json
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sensor_storage.demo.broker import EmbeddedBroker
from support.kafka_io import (
    begin,
    committed,
    create_topic,
    delete_before,
    forget_group,
    make_anew,
    produce,
    taken_by_compaction,
)
from support.prometheus import free_port
from support.proxy import proxy
from support.waiting import wait_until
from support.watched import Watched, watching


def _messages(start: int, count: int) -> list[bytes | str | None]:
    return [
        json.dumps({"asset_id": "p", "sensor_name": "t", "timestamp": 1_704_067_200 + n, "value": n})
        for n in range(start, start + count)
    ]


@pytest.fixture
def watched(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Watched]:
    """A service that reads topics of this prefix; the one of this name has one partition."""
    create_topic(broker.bootstrap_servers, topic_prefix)
    with watching(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as found:
        yield found


@contextmanager
def _stopped(watched: Watched) -> Iterator[None]:
    """The service is stopped in the block."""
    assert watched.service.stop() == 0
    yield
    watched.service.start()


def test_what_retention_took_is_a_gap_that_everybody_sees(
    watched: Watched, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, servers = topic_prefix, broker.bootstrap_servers
    produce(servers, topic, _messages(0, 10))
    watched.service.wait_for_messages(10)
    with _stopped(watched):
        produce(servers, topic, _messages(10, 30))
        delete_before(servers, topic, 25)
    watched.service.wait_for_messages(25)
    assert watched.gaps() == [(topic, 10, 25)]
    watched.tells(1, "sensor_storage_offset_gaps_total")
    watched.tells(1, "sensor_storage_recorded_gaps")
    assert watched.status()["counts"]["gaps"] == 1
    assert "gap 10…24: Kafka no longer had them" in watched.service.run("verify").stdout
    assert "offsets_jumped" in watched.service.events()
    assert watched.service.stop() == 0
    assert watched.values(topic) == [*range(10), *range(25, 40)]
    proof = watched.compared()
    assert (proof["readings"], proof["gaps"], proof["against_kafka"]["equal"]) == (25, 1, 15)


@pytest.mark.parametrize("runs", [True, False], ids=["while it runs", "while it is stopped"])
@pytest.mark.parametrize("length", [3, 30], ids=["shorter", "longer"])
def test_a_topic_made_anew_is_read_from_its_beginning_and_told_apart_from_the_old_one(
    watched: Watched, broker: EmbeddedBroker, topic_prefix: str, runs: bool, length: int
) -> None:
    topic, servers = topic_prefix, broker.bootstrap_servers
    produce(servers, topic, _messages(0, 10))
    watched.service.wait_for_messages(10)
    with nullcontext() if runs else _stopped(watched):
        make_anew(servers, topic)
        produce(servers, topic, _messages(1000, length))
    watched.service.wait_for_messages(10 + length, seconds=45)
    assert "topic_recreated" in watched.service.events()
    assert watched.gaps() == []
    assert watched.service.stop() == 0
    assert watched.values(topic) == [*range(10), *range(1000, 1000 + length)]
    proof = watched.compared()
    assert (proof["readings"], proof["against_kafka"]["equal"]) == (10 + length, length)
    told = watched.service.run("verify").stdout
    assert told.count(f"{topic}/0 (topic id ") == 2


def test_a_group_that_was_forgotten_reads_again_and_writes_nothing_again(
    watched: Watched, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, servers = topic_prefix, broker.bootstrap_servers
    produce(servers, topic, _messages(0, 100))
    watched.service.wait_for_messages(100)
    with _stopped(watched):
        forget_group(servers, topic)
    watched.tells(100, "sensor_storage_skipped_messages_total")
    produce(servers, topic, _messages(100, 5))
    watched.service.wait_for_messages(105)
    watched.tells(5, "messages_consumed_total")
    assert watched.gaps() == []
    assert watched.service.stop() == 0
    assert watched.values(topic) == [*range(105)]
    assert watched.compared()["against_kafka"]["equal"] == 105


def test_of_transactions_what_was_committed_is_stored_and_nothing_else_waits(
    watched: Watched, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, servers = topic_prefix, broker.bootstrap_servers
    producer = Producer({"bootstrap.servers": servers, "transactional.id": topic})
    producer.init_transactions(30)
    for start, kept in ((0, True), (10, False), (20, True)):
        begin(producer, topic, _messages(start, 10))
        producer.commit_transaction(30) if kept else producer.abort_transaction(30)
    watched.service.wait_for_messages(20)
    watched.tells(0, "sensor_storage_partition_lag_messages", topic=topic)
    begin(producer, topic, _messages(30, 10))
    produce(servers, topic, _messages(40, 5))
    producer.commit_transaction(30)
    watched.service.wait_for_messages(35)
    assert watched.gaps() == []
    assert watched.service.stop() == 0
    assert watched.values(topic) == [*range(10), *range(20, 45)]
    proof = watched.compared()["against_kafka"]
    assert (proof["equal"], proof["missing"], proof["aborted"]) == (35, 0, 10)


def test_what_compaction_took_before_it_was_read_is_neither_gap_nor_loss(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    servers = broker.bootstrap_servers
    settings = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = NewTopic(topic_prefix, 1, 1, config=settings)
    admin = AdminClient({"bootstrap.servers": servers})
    admin.create_topics([topic])[topic_prefix].result(timeout=30)
    for key in ("a", "b", "a"):
        produce(servers, topic_prefix, _messages(0, 20), key=key)
    produce(servers, topic_prefix, [None], key="b")
    wait_until(lambda: taken_by_compaction(servers, topic_prefix), "there are holes", seconds=60)
    with watching(tmp_path / "data", servers, topic_prefix) as watched:
        watched.service.wait_for_messages(2)
        watched.tells(0, "sensor_storage_partition_lag_messages", topic=topic_prefix)
        assert watched.gaps() == []
        assert watched.status()["counts"]["gaps"] == 0
        assert watched.service.stop() == 0
        proof = watched.compared()["against_kafka"]
        assert proof["absent"] > 0
        assert (proof["missing"], proof["equal"]) == (0, proof["compared"])


def test_two_hundred_topics_that_come_while_it_runs_are_all_read(
    watched: Watched, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    servers = broker.bootstrap_servers
    topics = [f"{topic_prefix}-{number}" for number in range(200)]
    admin = AdminClient({"bootstrap.servers": servers})
    for created in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        created.result(timeout=60)
    producer = Producer({"bootstrap.servers": servers})
    for topic, value in zip(topics, _messages(0, 200), strict=True):
        producer.produce(topic, value)
    assert producer.flush(30) == 0
    watched.service.wait_for_messages(200, seconds=60)
    watched.tells(201, "sensor_storage_topics")
    assert watched.service.stop() == 0
    assert watched.compared()["against_kafka"]["equal"] == 200


def test_other_messages_at_offsets_it_has_read_are_stored_beside_the_first(tmp_path: Path) -> None:
    """An unclean election loses acknowledged messages; other ones then have their offsets."""
    topic = "sensor-data-a"
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, topic)
        produce(servers, topic, _messages(0, 50))
        broker.stop()
        log = tmp_path / "kafka" / "data" / f"{topic}-0"
        saved = {path: path.read_bytes() for path in log.iterdir()}
        broker.start()
        produce(servers, topic, _messages(50, 50))
        with watching(tmp_path / "data", servers, "sensor-data-") as watched:
            watched.service.wait_for_messages(100)
            wait_until(lambda: committed(servers, "sensor-data-", topic) == 100, "all of it is committed")
            broker.stop()
            wait_until(lambda: watched.status()["reasons"], "it says that the broker is away")
            for path in log.iterdir():
                path.unlink()
            for path, data in saved.items():
                path.write_bytes(data)
            broker.start()
            produce(servers, topic, _messages(1000, 80))  # offsets 50 to 129, where 50 to 99 were others
            watched.service.wait_for_messages(180, seconds=60)
            assert "position_gone" in watched.service.events()
            assert watched.gaps() == []
            assert watched.service.stop() == 0
            assert watched.values(topic) == [*range(100), *range(1000, 1080)]
            proof = watched.compared()
            assert (proof["readings"], proof["against_kafka"]["equal"]) == (180, 130)


def test_a_connection_that_falls_silent_is_replaced_and_its_messages_are_read(tmp_path: Path) -> None:
    (tmp_path / "client").write_text("socket.timeout.ms=2000\n")
    with proxy() as between:
        between.target = free_port()
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{between.port}"}
        with EmbeddedBroker(tmp_path / "kafka", port=between.target, properties=advertised) as broker:
            servers, topic = broker.bootstrap_servers, "sensor-data-a"
            create_topic(servers, topic)
            produce(servers, topic, _messages(0, 10))
            with watching(
                tmp_path / "data", servers, "sensor-data-", KAFKA_CONFIG_FILE=str(tmp_path / "client")
            ) as watched:
                watched.service.wait_for_messages(10)
                between.silence()
                produce(servers, topic, _messages(10, 10))
                watched.service.wait_for_messages(20, seconds=60)
                wait_until(lambda: not watched.status()["reasons"], "all is well again")
                assert watched.service.stop() == 0
                assert watched.values(topic) == [*range(20)]
                assert watched.compared()["against_kafka"]["equal"] == 20
