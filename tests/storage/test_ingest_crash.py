"""A power cut at every durable step of ingest: an offset is committed only when its message is safe."""

import json
import shutil
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import pytest
from confluent_kafka import Message

from sensor_storage.clock import ManualClock
from sensor_storage.kafka.consumer import GroupHandler, Partition, Start
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.ingest import Ingest, IngestPolicy
from sensor_storage.storage.dead_letters import all_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.verify import verify
from support.forgetful import ForgetfulSteps, PowerCut, World
from support.trees import compactor, stored_rows

TOPIC, TOPIC_ID = "sensor-data-a", "topic-id"
MESSAGES = 40
KAFKA_MS = 1_704_067_200_000
POISON = {7, 23}


class Broker:
    """One partition that remembers what was committed; it outlives the machine that consumes."""

    def __init__(self) -> None:
        self.committed = 0
        self.topic_id = TOPIC_ID

    def messages(self, start: int, count: int) -> list[Message]:
        """The messages from an offset on."""
        return [_message(offset) for offset in range(start, min(start + count, MESSAGES))]

    def ids(self, names: Sequence[str]) -> dict[str, str]:
        """The topic's id."""
        return dict.fromkeys(names, self.topic_id)


class Consumer:
    """A member of the group that gets seven messages at a time."""

    def __init__(self, handler: GroupHandler, broker: Broker) -> None:
        self._broker = broker
        self._next = broker.committed
        self.assignment = {(TOPIC, 0): TOPIC_ID}
        handler.assigning([(TOPIC, 0)])
        handler.assigned({(TOPIC, 0): Start(TOPIC_ID, broker.committed)})

    def follow(self, topics: Mapping[str, str]) -> None:
        """Nothing to subscribe to."""

    def learn(self, ids: Mapping[str, str]) -> None:
        """Nothing to learn."""

    def consume(self, count: int, timeout: float) -> list[Message]:  # noqa: ARG002 - the client's signature
        """The next seven."""
        found = self._broker.messages(self._next, 7)
        self._next += len(found)
        return found

    def commit(self, positions: Mapping[Partition, int], epochs: Mapping[Partition, int]) -> None:  # noqa: ARG002
        """Remember."""
        self._broker.committed = max(self._broker.committed, positions[TOPIC, 0])

    def restart(self, offsets: Mapping[Partition, int]) -> None:
        """Go on from there."""
        self._next = offsets[TOPIC, 0]

    def start_again(self, keys: Iterable[Partition]) -> None:
        """No topic was made anew."""
        assert not list(keys)

    def recreated(self, key: Partition) -> bool:  # noqa: ARG002 - the consumer's signature
        """The topic is the same."""
        return False

    def close(self) -> None:
        """Nothing to leave."""


def _message(offset: int) -> Message:
    reading = {"asset_id": "press-1", "timestamp": KAFKA_MS + offset, "a": offset, "b": "on"}
    value = b"{broken" if offset in POISON else json.dumps(reading).encode()
    return Message(
        topic=TOPIC,
        partition=0,
        offset=offset,
        key=b"k",
        value=value,
        timestamp=(1, KAFKA_MS),
        leader_epoch=0,
    )


def _ingest(layout: Layout, disk: Disk, broker: Broker, *, max_rows: int = 20) -> Ingest:
    return Ingest(
        worker="ingest0",
        layout=layout,
        disk=disk,
        clock=ManualClock(),
        decode=Decoder(DecodeSettings(topic_pattern="^sensor-data-.*")).decode,
        ledger=lambda: read_all_ledgers(layout),
        policy=IngestPolicy(max_rows=max_rows, commit_interval_seconds=0),
        topics=broker,  # type: ignore[arg-type]  # a broker of one topic
        join_group=lambda handler: Consumer(handler, broker),  # type: ignore[arg-type,return-value]
    )


def _run(ingest: Ingest) -> None:
    while ingest.run_once(None):
        pass
    ingest.finish()


@pytest.mark.parametrize("world", ["killed", "lost", "some"])
def test_an_offset_is_committed_only_after_its_readings_or_dead_letter_are_durable(
    tmp_path: Path, world: World
) -> None:
    whole = Layout(tmp_path / "whole" / "raw")
    _empty(whole)
    counted = ForgetfulSteps(whole.root)
    _run(_ingest(whole, Disk(whole.root, counted), Broker()))
    expected = stored_rows(whole)
    assert len(expected) == 2 * (MESSAGES - len(POISON))
    for crash_at in range(counted.taken):
        for after in (False, True):
            layout, broker = Layout(tmp_path / f"{crash_at}-{after}" / "raw"), Broker()
            _empty(layout)
            steps = ForgetfulSteps(layout.root, crash_at=crash_at, after=after)
            with pytest.raises(PowerCut):
                _run(_ingest(layout, Disk(layout.root, steps), broker))
            steps.forget(world, seed=crash_at)
            _committed_is_durable(layout, broker)
            Disk(layout.root).clear_aside()
            _run(_ingest(layout, Disk(layout.root), broker))
            assert stored_rows(layout) == expected
            assert {letter.address.offset for letter in all_dead_letters(layout)} == POISON
            compactor(layout).run_once(ManualClock().now(), 0, flush=True)
            assert verify(layout, full=True, mark=False).findings == []
            shutil.rmtree(layout.root)


def test_a_group_reset_and_everything_read_again_changes_not_one_file(tmp_path: Path) -> None:
    layout, broker = Layout(tmp_path / "data" / "raw"), Broker()
    _empty(layout)
    _run(_ingest(layout, Disk(layout.root), broker))
    compactor(layout).run_once(ManualClock().now(), 0, flush=True)
    before = _files(layout)
    broker.committed = 0
    again = _ingest(layout, Disk(layout.root), broker)
    _run(again)
    compactor(layout).run_once(ManualClock().now(), 0, flush=True)
    assert again.counts.skipped == MESSAGES
    assert _files(layout) == before


def test_a_full_buffer_is_cut_amid_a_batch_and_a_full_disk_there_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_storage.kafka.gather.PIECE_BYTES", 1)
    layout = Layout(tmp_path / "data" / "raw")
    _empty(layout)
    ingest = _ingest(layout, Disk(layout.root), Broker(), max_rows=4)
    cut, cuts = ingest.cut, iter(range(1000))
    monkeypatch.setattr(ingest, "cut", lambda: next(cuts) % 5 != 2 and cut())
    _run(ingest)
    assert ingest.counts.segments > MESSAGES // 4
    assert ingest.counts.messages == MESSAGES
    assert len(stored_rows(layout)) == 2 * (MESSAGES - len(POISON))
    compactor(layout).run_once(ManualClock().now(), 0, flush=True)
    assert verify(layout, full=True, mark=False).findings == []


def _committed_is_durable(layout: Layout, broker: Broker) -> None:
    safe = {row[1] for row in stored_rows(layout)} | {
        letter.address.offset for letter in all_dead_letters(layout)
    }
    assert safe >= set(range(broker.committed))


def _files(layout: Layout) -> dict[str, tuple[int, bytes]]:
    return {
        layout.relative(path): (path.stat().st_mtime_ns, path.read_bytes())
        for path in layout.root.rglob("*.parquet")
    }


def _empty(layout: Layout) -> None:
    layout.root.mkdir(parents=True)
