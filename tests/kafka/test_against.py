"""What `verify --against-kafka` finds, and what it tells apart from loss."""

import json
import socket
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import msgspec
import numpy as np
import pytest
from confluent_kafka import Producer, TopicPartition
from confluent_kafka.admin import AdminClient
from confluent_kafka.cimpl import NewTopic

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.errors import Transient
from sensor_storage.kafka.against import AgainstKafka, PartitionAgainst
from sensor_storage.kafka.compared import Decode
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.model import Source
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.footers import totals_of
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.holdings import Window, plan_passes
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.verify import verify
from support.kafka_io import create_topic, produce
from support.member import Member, member
from support.trees import compactor
from support.waiting import wait_until

NOW = 1_800_000_000.0


def _wide(number: int) -> str:
    return json.dumps({"asset_id": "p", "timestamp": 1_704_067_200 + number, "a": number, "b": 1, "c": "x"})


@pytest.fixture
def one(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str) -> Iterator[Member]:
    create_topic(broker.bootstrap_servers, topic_prefix)
    with member(
        Layout(tmp_path / "data" / "raw"), broker.bootstrap_servers, topic_prefix, group=topic_prefix
    ) as alone:
        yield alone


def _against(
    broker: EmbeddedBroker, layout: Layout, topic: str, settings: DecodeSettings | None = None
) -> tuple[PartitionAgainst, list[Finding]]:
    client = {"bootstrap.servers": broker.bootstrap_servers}
    decode = _decode(settings)
    ids = TopicDirectory(client).ids([topic])
    found = AgainstKafka(layout, LogReader(client, "looks"), ids, decode, lambda _: None).run(
        entries_now(layout)
    )
    (partition,) = found.partitions
    return partition, found.findings


def _decode(settings: DecodeSettings | None = None) -> Decode:
    return Decoder(settings or DecodeSettings(topic_pattern="^.*")).decode


def _counts(partition: PartitionAgainst) -> dict[str, int]:
    known = msgspec.to_builtins(partition)
    return {
        name: count for name, count in known.items() if type(count) is int and count and name != "partition"
    }


def test_transactions_tombstones_dead_letters_and_retention_are_no_loss(
    one: Member, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    produce(broker.bootstrap_servers, topic_prefix, [_wide(0), None, "{", _wide(1)], key="p")
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers, "transactional.id": topic_prefix})
    producer.init_transactions(30)
    for start, committed in ((10, True), (20, False), (30, True)):
        producer.begin_transaction()
        for number in range(start, start + 5):
            producer.produce(topic_prefix, _wide(number))
        producer.flush(30)
        producer.commit_transaction(30) if committed else producer.abort_transaction(30)
    one.until(lambda: one.messages() == 14 and one.lag() == 0, "all that was committed is read")
    produce(broker.bootstrap_servers, topic_prefix, [_wide(40), _wide(41)])
    partition, findings = _against(broker, one.layout, topic_prefix)
    expected = {"compared": 14, "equal": 14, "tombstones": 1, "aborted": 5}
    counts = _counts(partition)
    # Three records end transactions; whether the ledger answers for the last of them depends on when it was seen.
    assert (counts.pop("absent"), counts.pop("waiting")) in {(2, 3), (3, 2)}
    assert (counts, partition.compacted, findings) == (expected, False, [])
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic_prefix, 0, 3)]).values():
        future.result(timeout=30)
    partition, findings = _against(broker, one.layout, topic_prefix)
    assert (partition.compared, partition.equal, findings) == (11, 11, [])


def _rewrite(layout: Layout, change: Callable[[Readings], Readings]) -> None:
    """Change what a segment holds, with a ledger that agrees: a lie that the files alone can't tell."""
    ((_, path),) = layout.staged_files()
    file = CheckedFile(path)
    rows = change(file.readings())
    (entry,) = file.footer().ledger
    (totals,) = totals_of(rows)
    messages = entry.messages - (entry.readings // 3 - len(np.unique(rows.offset)))
    entry = msgspec.structs.replace(
        entry, messages=messages, readings=totals.readings, hash_sum=totals.hash_sum
    )
    Disk(layout.root).publish_bytes(path, encode_segment(rows, [entry], "zstd"))


@pytest.fixture
def stored(one: Member, broker: EmbeddedBroker, topic_prefix: str) -> Layout:
    """Twenty messages of three readings in one segment."""
    produce(broker.bootstrap_servers, topic_prefix, [_wide(number) for number in range(20)])
    one.until(lambda: one.messages() == 20, "all is read")
    one.ingest.finish()
    entries = entries_now(one.layout)
    segments = [CheckedFile(path).readings() for _, path in one.layout.staged_files()]
    for _, path in one.layout.staged_files()[1:]:
        path.unlink()
    whole = Readings.concat(segments).sorted()
    (totals,) = totals_of(whole)
    entry = msgspec.structs.replace(
        entries[0], start=0, stop=20, messages=20, readings=60, hash_sum=totals.hash_sum
    )
    path = one.layout.staged_files()[0][1]
    Disk(one.layout.root).publish_bytes(path, encode_segment(whole, [entry], "zstd"))
    return one.layout


@pytest.mark.parametrize("compacted", [False, True], ids=["staged", "in hour files"])
def test_a_message_and_an_element_the_ledger_never_counted_are_named(
    stored: Layout, broker: EmbeddedBroker, topic_prefix: str, compacted: bool
) -> None:
    def lose(rows: Readings) -> Readings:
        return rows.where((rows.offset != 7) & ~((rows.offset == 11) & (rows.index == 2)))

    _rewrite(stored, lose)
    if compacted:
        compactor(stored).run_once(NOW, NOW, flush=True)
    assert verify(stored, full=True, mark=False).findings == []
    partition, findings = _against(broker, stored, topic_prefix)
    assert _counts(partition) == {"compared": 20, "equal": 18, "missing": 2}
    assert [(one.kind, one.where) for one in findings] == [
        ("missing", f"{topic_prefix}/0@7"),
        ("missing", f"{topic_prefix}/0@11"),
    ]
    assert "elements 2" in findings[1].detail


def test_messages_that_were_passed_over_are_named(
    stored: Layout, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    ((name, path),) = stored.staged_files()
    file = CheckedFile(path)
    (entry,), rows = file.footer().ledger, file.readings()
    path.unlink()
    for number, (start, stop) in enumerate(((0, 8), (12, 20))):
        part = rows.where((rows.offset >= start) & (rows.offset < stop))
        (totals,) = totals_of(part)
        answered = msgspec.structs.replace(
            entry,
            start=start,
            stop=stop,
            messages=8,
            readings=totals.readings,
            hash_sum=totals.hash_sum,
        )
        target = stored.staged(replace(name, number=name.number + number))
        Disk(stored.root).publish_bytes(target, encode_segment(part, [answered], "zstd"))
    assert verify(stored, full=True, mark=False).findings == []
    partition, (finding,) = _against(broker, stored, topic_prefix)
    assert _counts(partition) == {"compared": 20, "equal": 16, "missing": 4}
    assert (finding.kind, finding.where) == ("missing", f"{topic_prefix}/0@8…11")
    assert "never consumed" in finding.detail


def test_what_compaction_has_taken_since_is_no_loss(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    settings = {"cleanup.policy": "compact", "segment.ms": "100", "min.cleanable.dirty.ratio": "0.01"}
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    topic = NewTopic(topic_prefix, 1, 1, config=settings)
    admin.create_topics([topic])[topic_prefix].result(timeout=30)
    produce(broker.bootstrap_servers, topic_prefix, [_wide(number) for number in range(20)], key="a")
    layout, reader = (
        Layout(tmp_path / "raw"),
        LogReader({"bootstrap.servers": broker.bootstrap_servers}, "looks"),
    )
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as alone:
        alone.until(lambda: alone.messages() == 20, "it reads")

        def cleaned() -> bool:
            produce(broker.bootstrap_servers, topic_prefix, [_wide(50)], key="a")
            ((first, *_), *_) = reader.messages((topic_prefix, 0), 0, 1 << 40)
            return (first.offset() or 0) >= 20

        wait_until(cleaned, "the broker's cleaner has taken the first", seconds=60)
    partition, findings = _against(broker, layout, topic_prefix)
    assert (partition.compacted, findings, partition.missing) == (True, [], 0)
    assert partition.beyond == 20
    assert partition.compared + partition.absent == entries_now(layout)[-1].stop


def test_a_broker_that_does_not_answer_is_no_finding(stored: Layout) -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        nowhere = {"bootstrap.servers": f"127.0.0.1:{nobody.getsockname()[1]}"}
        reader = LogReader(nowhere, "looks", timeout_seconds=1)
        against = AgainstKafka(stored, reader, {"a": "id"}, _decode(), lambda _: None)
        entry = msgspec.structs.replace(entries_now(stored)[0], source=Source("a", "id", 0, 0))
        with pytest.raises(Transient, match="ask for the offsets of a/0"):
            against.run([entry])


def test_other_settings_than_those_of_then_are_told_and_are_no_loss(
    stored: Layout, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    settings = DecodeSettings(topic_pattern="^.*")
    late = replace(settings, timestamp_min=1_704_067_205_000_000)
    partition, findings = _against(broker, stored, topic_prefix, late)
    assert (_counts(partition), findings) == ({"compared": 20, "equal": 15, "differing": 5}, [])


def test_windows_are_cut_and_grouped_so_that_no_group_is_too_large_or_has_a_partition_twice() -> None:
    windows = [Window("a", "", 0, 0, 25), Window("a", "", 1, 100, 105), Window("b", "", 0, 3, 3)]
    passes = list(plan_passes(windows, most=10))
    assert [[(one.topic, one.partition, one.start, one.stop) for one in group] for group in passes] == [
        [("a", 0, 0, 10)],
        [("a", 0, 10, 20)],
        [("a", 0, 20, 25), ("a", 1, 100, 105)],
    ]
