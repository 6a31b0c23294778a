"""What Kafka can do to a consumer: what is stored then, what is recorded, and that it is never silent."""

import contextlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewPartitions, NewTopic

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.errors import Halt
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.verify import verify
from support.kafka_io import (
    begin,
    committed,
    create_topic,
    delete_before,
    make_anew,
    produce,
    taken_by_compaction,
)
from support.member import Member, member, run_until
from support.proxy import proxy
from support.trees import compactor, stored_rows
from support.waiting import wait_until

NOW = 1_800_000_000.0


def _messages(start: int, count: int, *, add: float = 0) -> list[bytes | str | None]:
    return [
        json.dumps({"asset_id": "p", "sensor_name": "t", "timestamp": 1_704_067_200 + n, "value": n + add})
        for n in range(start, start + count)
    ]


def _values(layout: Layout) -> list[float]:
    return sorted(float(str(row[5])) for row in stored_rows(layout))


def _sound(layout: Layout) -> None:
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert verify(layout, full=True, mark=False).findings == []


def _admin(broker: EmbeddedBroker) -> AdminClient:
    return AdminClient({"bootstrap.servers": broker.bootstrap_servers})


@pytest.fixture
def one(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Member]:
    """A member alone on a topic of one partition, named as its group."""
    create_topic(broker.bootstrap_servers, topic_prefix)
    with member(
        Layout(tmp_path / "raw"), broker.bootstrap_servers, topic_prefix, group=topic_prefix
    ) as alone:
        yield alone


def test_retention_that_overtakes_a_running_consumer_leaves_a_recorded_gap(
    one: Member, broker: EmbeddedBroker, topic_prefix: str, caplog: pytest.LogCaptureFixture
) -> None:
    produce(broker.bootstrap_servers, topic_prefix, _messages(0, 10))
    one.until(lambda: one.messages() == 10, "it reads")
    one.ingest.pause("a test")
    produce(broker.bootstrap_servers, topic_prefix, _messages(10, 30))
    delete_before(broker.bootstrap_servers, topic_prefix, 25)
    one.ingest.pause("")
    one.until(lambda: one.messages() == 25, "it goes on behind the gap")
    assert one.gaps() == [(10, 25)]
    assert one.ingest.counts.gaps == 1
    assert {"position_gone", "offsets_jumped"} <= {*caplog.messages}
    assert _values(one.layout) == [*range(10), *range(25, 40)]
    _sound(one.layout)


def test_transactions_leave_what_was_committed_no_gap_and_no_lag(
    one: Member, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic_prefix})
    producer.init_transactions(30)
    for start, kept in ((0, True), (10, False), (20, True)):
        begin(producer, topic_prefix, _messages(start, 10))
        producer.commit_transaction(30) if kept else producer.abort_transaction(30)
    one.until(lambda: one.messages() == 20 and one.lag() == 0, "the committed ones are read to the end")
    begin(producer, topic_prefix, _messages(30, 10))
    produce(broker.bootstrap_servers, topic_prefix, _messages(40, 5))
    run_until([one], lambda: one.ingest.consumer.ends()[topic_prefix, 0] >= 33, "it sees the open one")
    assert one.messages() == 20
    producer.commit_transaction(30)
    one.until(lambda: one.messages() == 35 and one.lag() == 0, "what the open one held back")
    end = one.ingest.consumer.ends()[topic_prefix, 0]
    one.until(
        lambda: committed(broker.bootstrap_servers, topic_prefix, topic_prefix) == end,
        "its commit is at the end",
    )
    assert one.gaps() == []
    assert _values(one.layout) == [*range(10), *range(20, 45)]
    _sound(one.layout)


def test_a_group_whose_offsets_were_deleted_writes_nothing_again(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, layout = topic_prefix, Layout(tmp_path / "raw")
    create_topic(broker.bootstrap_servers, topic)
    produce(broker.bootstrap_servers, topic, _messages(0, 100))
    with member(layout, broker.bootstrap_servers, topic, group=f"{topic}-1") as first:
        first.until(lambda: first.messages() == 100, "it reads")
        first.ingest.finish()
    before = layout.staged_files()
    with member(layout, broker.bootstrap_servers, topic, group=f"{topic}-2") as second:  # no offsets there
        second.until(lambda: second.ingest.counts.skipped == 100, "it passes over what it knows")
        assert layout.staged_files() == before
        produce(broker.bootstrap_servers, topic, _messages(100, 5))
        second.until(lambda: second.messages() == 105, "and reads what is new")
    assert _values(layout) == list(range(105))
    _sound(layout)


def test_without_partitions_kafkas_time_is_what_it_was(
    one: Member, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    produce(broker.bootstrap_servers, topic_prefix, _messages(0, 10))
    one.step()
    assert one.ingest.watermark == 0.0  # none are assigned yet
    one.until(lambda: one.messages() == 10, "all is read")
    one.ingest.lost(one.ingest.positions.positions())
    before = one.ingest.watermark
    one.ingest.cut()
    assert one.ingest.watermark == before > 0


def test_without_topics_kafkas_time_is_the_clocks(one: Member) -> None:
    one.ingest.run_once({})
    assert one.ingest.watermark == pytest.approx(time.time(), abs=60)


@pytest.mark.parametrize("died", [True, False], ids=["it died before", "another partition was lost before"])
def test_a_gap_that_is_not_on_disk_yet_is_committed_past_by_nobody(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, died: bool
) -> None:
    topic, layout, servers = topic_prefix, Layout(tmp_path / "raw"), broker.bootstrap_servers
    create_topic(servers, topic, 2)
    produce(servers, topic, _messages(0, 10), partition=0)
    with member(layout, servers, topic, group=topic) as before:
        before.until(lambda: before.messages() == 10, "it reads")
        before.ingest.finish()
    produce(servers, topic, _messages(10, 30), partition=0)
    delete_before(broker.bootstrap_servers, topic, 25)
    with member(layout, servers, topic, group=topic, segment_seconds=1000) as one:
        one.until(lambda: one.ingest._buffer.rows == 15, "it holds what is behind the gap")
        one.ingest.commit()
        assert (one.gaps(), committed(broker.bootstrap_servers, topic, topic)) == ([], 10)
        if not died:
            one.ingest.consumer._on_lost(one.ingest.consumer._consumer, [TopicPartition(topic, 1)])
            one.until(lambda: one.ingest._buffer.rows == 15, "it has read again what it dropped")
            assert one.ingest.cut()
            assert one.ingest.counts.gaps == 1
    with member(layout, servers, topic, group=topic) as after:
        after.until(lambda: after.messages() == 25 and after.lag() == 0, "it reads on")
        assert after.gaps() == [(10, 25)]
    assert _values(layout) == [*range(10), *range(25, 40)]
    _sound(layout)


@pytest.mark.parametrize("reset", ["earliest", "latest"])
def test_what_retention_took_of_a_topic_made_anew_is_a_gap_and_the_rest_is_read_from_its_beginning(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, reset: str
) -> None:
    topic, layout, servers = topic_prefix, Layout(tmp_path / "raw"), broker.bootstrap_servers
    create_topic(servers, topic)
    produce(servers, topic, _messages(0, 10))
    with member(layout, servers, topic, group=topic) as before:
        before.until(lambda: before.messages() == 10, "it reads")
        before.ingest.finish()
    make_anew(broker.bootstrap_servers, topic)
    produce(servers, topic, _messages(100, 30))
    delete_before(broker.bootstrap_servers, topic, 4)
    with member(layout, servers, topic, group=topic, reset=reset) as after:
        after.until(lambda: after.messages() == 10 + 26 and after.lag() == 0, "it reads the new one")
        (gap,) = (entry for entry in after.entries() if entry.fate == "gap")
        old = {entry.source.topic_id for entry in after.entries() if entry.source.leader_epoch >= 0}
        assert (gap.start, gap.stop, gap.source.topic) == (0, 4, topic)
        assert "made anew" in gap.reason
        assert gap.source.topic_id in old
        assert len(old) == 2
    assert _values(layout) == [*range(10), *range(104, 130)]
    _sound(layout)


def test_the_newest_is_the_beginning_only_of_a_topic_of_which_nothing_was_read(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, layout, servers = topic_prefix, Layout(tmp_path / "raw"), broker.bootstrap_servers
    create_topic(servers, topic)
    produce(servers, topic, _messages(0, 10))
    with member(layout, servers, topic, group=topic, reset="latest") as one:
        one.until(lambda: one.ingest.positions.durable == {(topic, 0): 10}, "it begins at the end")
        produce(servers, topic, _messages(10, 5))
        one.until(lambda: one.messages() == 5, "it reads")
        one.ingest.finish()
    admin = _admin(broker)
    admin.create_partitions([NewPartitions(topic, 2)])[topic].result(timeout=30)
    produce(servers, topic, _messages(100, 7), partition=1)
    with member(layout, servers, topic, group=f"{topic}-2", reset="latest") as again:
        again.until(lambda: again.messages() == 22, "a group without offsets passes over nothing of it")
    assert _values(layout) == [*range(15), *range(100, 107)]


@pytest.mark.parametrize("length", [3, 30], ids=["shorter", "longer"])
def test_a_topic_made_anew_between_two_looks_is_read_whole_under_its_new_id(
    one: Member, broker: EmbeddedBroker, topic_prefix: str, length: int, caplog: pytest.LogCaptureFixture
) -> None:
    produce(broker.bootstrap_servers, topic_prefix, _messages(0, 10))
    one.until(lambda: one.messages() == 10, "it reads")
    make_anew(broker.bootstrap_servers, topic_prefix)
    produce(broker.bootstrap_servers, topic_prefix, _messages(100, length))
    one.look_for_topics()
    one.until(lambda: one.messages() == 10 + length, "it reads the new one from its beginning")
    assert len({entry.source.topic_id for entry in one.entries()}) == 2
    assert "topic_recreated" in caplog.messages
    assert _values(one.layout) == [*range(10), *range(100, 100 + length)]
    _sound(one.layout)


def test_a_compacted_topic_has_holes_and_no_gaps(
    broker: EmbeddedBroker, tmp_path: Path, topic_prefix: str
) -> None:
    settings = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    topic = NewTopic(topic_prefix, 1, 1, config=settings)
    admin = _admin(broker)
    admin.create_topics([topic])[topic_prefix].result(timeout=30)
    for key in ("a", "b", "a"):
        produce(broker.bootstrap_servers, topic_prefix, _messages(0, 20), key=key)
    wait_until(
        lambda: taken_by_compaction(broker.bootstrap_servers, topic_prefix), "there are holes", seconds=60
    )
    layout = Layout(tmp_path / "raw")
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as alone:
        alone.until(lambda: alone.messages() and alone.lag() == 0, "it reads what is left")
        assert alone.gaps() == []
        assert alone.messages() < alone.ingest.consumer.ends()[topic_prefix, 0]
    _sound(layout)


def test_two_hundred_new_topics_are_all_read(
    broker: EmbeddedBroker, tmp_path: Path, topic_prefix: str
) -> None:
    topics = [f"{topic_prefix}-{number}" for number in range(200)]
    admin = _admin(broker)
    for created in admin.create_topics([NewTopic(topic, 1, 1) for topic in topics]).values():
        created.result(timeout=60)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for number, topic in enumerate(topics):
        (value,) = _messages(number, 1)
        producer.produce(topic, value)
    producer.flush(30)
    layout = Layout(tmp_path / "raw")
    with member(layout, broker.bootstrap_servers, topics[0], group=topic_prefix) as alone:
        alone.until(lambda: alone.messages() == 1, "it reads the one it knows")
        alone.also(topics)
        alone.until(lambda: alone.messages() == 200, "it reads all of them", seconds=60)
    assert _values(layout) == list(range(200))


@pytest.mark.slow
def test_a_thousand_partitions_are_all_read_and_committed(
    broker: EmbeddedBroker, tmp_path: Path, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix, 1000)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    for partition, value in enumerate(_messages(0, 1000)):
        producer.produce(topic_prefix, value, partition=partition)
    assert producer.flush(60) == 0
    layout = Layout(tmp_path / "raw")
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as alone:
        alone.until(lambda: alone.messages() == 1000, "it reads all of them", seconds=60)
        alone.ingest.finish()
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as again:
        again.until(lambda: len(again.ingest.positions.durable) == 1000, "it has them again", seconds=60)
        assert set(again.ingest.positions.durable.values()) == {1}
        assert again.ingest.counts.skipped == 0
    assert _values(layout) == list(range(1000))
    _sound(layout)


def test_a_broker_killed_and_started_again_costs_nothing(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "a")
        produce(broker.bootstrap_servers, "a", _messages(0, 50))
        layout = Layout(tmp_path / "raw")
        with member(layout, broker.bootstrap_servers, "a", group="g") as before:
            before.until(lambda: before.messages() == 50, "it reads")
            broker.kill()
            for _ in range(5):
                before.step()
            broker.start()
            produce(broker.bootstrap_servers, "a", _messages(50, 50))
            with contextlib.suppress(
                Halt
            ):  # the broker may take it for another; then the service starts it again
                before.until(lambda: before.messages() == 100, "it reads on", seconds=60)
        with member(layout, broker.bootstrap_servers, "a", group="g") as after:
            after.until(lambda: after.messages() == 100, "it reads on", seconds=60)
        assert _values(layout) == list(range(100))
        _sound(layout)


def test_a_log_cut_off_and_grown_again_is_read_under_its_new_epoch(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """An unclean election loses acknowledged messages; other ones then have their offsets."""
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "a")
        produce(broker.bootstrap_servers, "a", _messages(0, 50))
        broker.stop()
        log = tmp_path / "kafka" / "data" / "a-0"
        saved = {path: path.read_bytes() for path in log.iterdir()}
        broker.start()
        layout = Layout(tmp_path / "raw")
        produce(broker.bootstrap_servers, "a", _messages(50, 50))
        with member(layout, broker.bootstrap_servers, "a", group="g") as first:
            first.until(lambda: first.messages() == 100, "it reads all")
            first.ingest.finish()
        broker.stop()
        for path in log.iterdir():
            path.unlink()
        for path, data in saved.items():
            path.write_bytes(data)
        broker.start()
        produce(
            broker.bootstrap_servers, "a", _messages(1000, 80)
        )  # offsets 50 to 129, where 50 to 99 were others
        with member(layout, broker.bootstrap_servers, "a", group="g") as second:
            second.until(lambda: second.messages() == 180, "it reads what has taken their place", seconds=40)
            assert second.gaps() == []
        assert "position_gone" in caplog.messages
        assert _values(layout) == [*range(100), *range(1000, 1080)]
        _sound(layout)


def test_a_connection_that_falls_silent_is_replaced(tmp_path: Path) -> None:
    with proxy() as between:
        advertised = {"advertised.listeners": f"PLAINTEXT://127.0.0.1:{between.port}"}
        port = _free_port()
        between.target = port
        with EmbeddedBroker(tmp_path / "kafka", port=port, properties=advertised) as broker:
            create_topic(broker.bootstrap_servers, "a")
            produce(broker.bootstrap_servers, "a", _messages(0, 10))
            layout = Layout(tmp_path / "raw")
            with member(
                layout, broker.bootstrap_servers, "a", group="g", **{"socket.timeout.ms": 2_000}
            ) as alone:
                alone.until(lambda: alone.messages() == 10, "it reads")
                between.silence()
                produce(broker.bootstrap_servers, "a", _messages(10, 10))
                alone.until(lambda: alone.messages() == 20, "it reads on by another connection", seconds=60)
            assert _values(layout) == list(range(20))


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def test_a_new_leader_with_the_same_log_costs_nothing_not_even_at_its_end(tmp_path: Path) -> None:
    """The end of the partition comes with the messages that are asked about again: it must not pass for read."""
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        create_topic(broker.bootstrap_servers, "a")
        produce(broker.bootstrap_servers, "a", _messages(0, 50))
        layout = Layout(tmp_path / "raw")
        with member(layout, broker.bootstrap_servers, "a", group="g") as before:
            before.until(lambda: before.messages() == 50, "it reads")
            before.ingest.finish()
        broker.stop()
        broker.start()
        produce(broker.bootstrap_servers, "a", _messages(50, 50))
        with member(layout, broker.bootstrap_servers, "a", group="g") as after:
            consume = after.ingest.consumer._consumer.consume
            after.ingest.consumer._consumer = _Slow(after.ingest.consumer._consumer, consume)  # type: ignore[assignment]
            after.until(lambda: after.messages() == 100, "it reads on")
        assert _values(layout) == list(range(100))
        _sound(layout)


class _Slow:
    """A consumer whose first batch comes whole, the end of the partition included."""

    def __init__(self, real: Consumer, consume: Callable[[int, float], list[Message]]) -> None:
        self._real = real
        self._consume = consume
        self._first: list[Message] = []

    def __getattr__(self, name: str) -> object:
        return getattr(self._real, name)

    def consume(self, count: int, timeout: float) -> list[Message]:
        found = self._consume(count, timeout)
        if self._first is not None:
            self._first += found
            if not any(one.error() for one in self._first):
                return []
            found, self._first = self._first, None  # type: ignore[assignment]
        return found
