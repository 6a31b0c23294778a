"""Partitions change hands, and nothing is lost, doubled or published by one who no longer may."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.errors import Halt, Transient
from sensor_storage.kafka.claims import Claims
from sensor_storage.kafka.handover import leave_group
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.verify import verify
from support.kafka_io import create_topic, produce
from support.member import Member, member, run_until
from support.trees import compactor, stored_rows

NOW = 1_800_000_000.0


def _messages(start: int, count: int) -> list[bytes | str | None]:
    return [
        json.dumps({"asset_id": f"p{n % 7}", "sensor_name": "t", "timestamp": 1_704_067_200 + n, "value": n})
        for n in range(start, start + count)
    ]


def _topic(broker: EmbeddedBroker, name: str, partitions: int = 4) -> str:
    create_topic(broker.bootstrap_servers, name, partitions)
    return name


def _parts(topic: str, partition: int) -> list[TopicPartition]:
    return [TopicPartition(topic, partition)]


def _unanswered(_: object) -> None:
    raise Transient("the broker does not answer")


def _values(layouts: Sequence[Layout]) -> list[float]:
    return sorted(float(str(row[5])) for layout in layouts for row in stored_rows(layout))


def _sound(layout: Layout) -> None:
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert verify(layout, full=True, mark=False).findings == []


def test_two_members_share_and_hand_over_without_loss_or_double(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix)
    layouts = [Layout(tmp_path / name / "raw") for name in "ab"]
    address, group = broker.bootstrap_servers, topic_prefix
    with member(layouts[0], address, topic, group=group, instance="a") as first:
        produce(address, topic, _messages(0, 400))
        first.until(lambda: first.messages() == 400, "the first reads all")
        with member(layouts[1], address, topic, group=group, instance="b") as second:
            run_until(
                [first, second],
                lambda: len(first.ingest.consumer.assignment) == len(second.ingest.consumer.assignment) == 2,
                "they share",
            )
            produce(address, topic, _messages(400, 400))
            run_until([first, second], lambda: first.messages() + second.messages() == 800, "both read on")
            assert min(first.messages() - 400, second.messages()) > 0
            first.ingest.finish()
            leave_group({"bootstrap.servers": address}, group, ["a"])
            produce(address, topic, _messages(800, 200))
            second.until(
                lambda: first.messages() + second.messages() == 1000,
                "the leaver's partitions at once",
                seconds=4,
            )
    assert _values(layouts) == list(range(1000))
    for layout in layouts:
        _sound(layout)


def test_a_worker_takes_over_what_another_of_its_directory_made_durable_but_did_not_commit(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix, 1)
    layout = Layout(tmp_path / "raw")
    address, group = broker.bootstrap_servers, topic_prefix
    with member(layout, address, topic, group=group, instance="a", segment_seconds=1000) as killed:
        produce(address, topic, _messages(0, 100))
        killed.until(lambda: killed.ingest._buffer.rows == 100, "it holds them")
        killed.ingest.consumer.commit = lambda *_: None  # type: ignore[method-assign] # it dies before
        assert killed.ingest.cut()
        with member(layout, address, topic, group=group, instance="a") as heir:
            produce(address, topic, _messages(100, 10))
            heir.until(lambda: heir.messages() == 110, "the heir reads on")
            assert heir.ingest.counts.skipped == 100
            assert heir.ingest.counts.readings == 10
    _sound(layout)


def test_a_zombie_publishes_nothing_of_partitions_that_another_worker_has_taken(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix, 1)
    layout = Layout(tmp_path / "raw")
    address, group = broker.bootstrap_servers, topic_prefix
    with member(layout, address, topic, group=group, instance="a", segment_seconds=1000) as zombie:
        produce(address, topic, _messages(0, 100))
        zombie.until(lambda: zombie.ingest._buffer.rows == 100, "it holds them")
        with member(
            layout, address, topic, group=f"{group}-2", instance="b"
        ) as heir:  # as if the group had moved it
            heir.until(lambda: heir.messages() == 100, "the heir reads them all")
            before = layout.staged_files()
            assert zombie.ingest.cut()
            assert layout.staged_files() == before
            assert (topic, 0) not in zombie.ingest.positions
    assert _values([layout]) == list(range(100))
    _sound(layout)


def test_a_second_process_of_the_same_member_ends_the_first_with_words(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix, 1)
    layouts = [Layout(tmp_path / name / "raw") for name in "ab"]
    with member(layouts[0], broker.bootstrap_servers, topic, group=topic_prefix) as first:
        produce(broker.bootstrap_servers, topic, _messages(0, 10))
        first.until(lambda: first.messages() == 10, "the first reads")
        with member(layouts[1], broker.bootstrap_servers, topic, group=topic_prefix) as second:
            with pytest.raises(Halt, match="fenced") as ended:
                run_until([second, first], lambda: False, "the first is fenced", seconds=20)
            assert "KAFKA_GROUP_INSTANCE_ID" in ended.value.hint
            produce(broker.bootstrap_servers, topic, _messages(10, 10))
            second.until(lambda: second.messages() == 10, "the second reads on")


def test_what_a_lost_partition_had_in_memory_is_dropped_and_the_rest_read_again(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix, 2)
    layout = Layout(tmp_path / "raw")
    address = broker.bootstrap_servers
    with member(layout, address, topic, group=topic_prefix, segment_seconds=1000) as one:
        produce(address, topic, _messages(0, 50), partition=0)
        produce(address, topic, _messages(50, 50), partition=1)
        one.until(lambda: one.ingest._buffer.rows == 100, "it holds both")
        one.ingest.consumer._on_lost(one.ingest.consumer._consumer, _parts(topic, 0))
        assert one.ingest._buffer.rows == 0
        one.until(lambda: one.ingest._buffer.rows == 50, "it reads again what it still has")
        assert one.ingest.cut()
    assert _values([layout]) == list(range(50, 100))


def test_what_cannot_be_started_when_assigned_is_started_later_and_nothing_is_missed(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    topic = _topic(broker, topic_prefix, 2)
    produce(broker.bootstrap_servers, topic, _messages(0, 100))
    one: Member
    with member(Layout(tmp_path / "raw"), broker.bootstrap_servers, topic, group=topic_prefix) as one:
        with monkeypatch.context() as broken:
            broken.setattr(one.ingest, "assigning", _unanswered)
            one.until(lambda: one.ingest.consumer._unstarted, "it is assigned in vain")
        one.until(lambda: one.messages() == 100, "it reads all the same")
        assert _values([one.layout]) == list(range(100))


def test_the_claims_table_tells_what_another_took_and_forgives_a_torn_one(tmp_path: Path) -> None:
    mine, other = Claims(tmp_path, "i1"), Claims(tmp_path, "i2")
    mine.take([("a", 0), ("a", 1)])
    other.take([("a", 1)])
    with mine.held([("a", 0), ("a", 1)]) as taken:
        assert taken == {("a", 1)}
    (tmp_path / "claims.json").write_text('{"a/0": "i')
    with mine.held([("a", 0)]) as taken:
        assert taken == set()


def test_members_of_the_newer_protocol_share_hand_over_and_come_back(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic = _topic(broker, topic_prefix)
    layouts = [Layout(tmp_path / name / "raw") for name in "ab"]
    newer: dict[str, str] = {"group.protocol": "consumer"}
    address, group = broker.bootstrap_servers, topic_prefix
    with member(layouts[0], address, topic, group=group, **newer) as first:
        produce(address, topic, _messages(0, 400))
        first.until(lambda: first.messages() == 400, "the first reads all", seconds=40)
        with member(layouts[1], address, topic, group=group, **newer) as second:
            run_until(
                [first, second],
                lambda: len(first.ingest.consumer.assignment) == len(second.ingest.consumer.assignment) == 2,
                "they share",
                seconds=40,
            )
            produce(address, topic, _messages(400, 400))
            run_until([first, second], lambda: first.messages() + second.messages() == 800, "both read on")
            first.ingest.finish()
            produce(address, topic, _messages(800, 200))
            second.until(
                lambda: first.messages() + second.messages() == 1000, "the leaver's partitions", seconds=20
            )
    assert _values(layouts) == list(range(1000))
    for layout in layouts:
        _sound(layout)
