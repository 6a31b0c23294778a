"""A power cut at every durable step of `backfill --from-kafka`: called again, it brings the rest, nothing twice."""

import itertools
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka import Message

from sensor_storage.kafka.consumer import Partition
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.past import Past, PastMessages, plan_past
from sensor_storage.storage.dead_letters import all_dead_letters
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import covered
from sensor_storage.storage.verify import verify
from support.forgetful import ForgetfulSteps, PowerCut, World
from support.trees import NOW, compactor, stored_rows

TOPIC, TOPIC_ID, MESSAGES, POISON = "sensor-data-a", "topic-id", 40, {7, 23}


class Log:
    """One partition, seven messages at a time."""

    def messages(
        self, key: Partition, start: int, stop: int, *, with_aborted: bool
    ) -> Iterator[list[Message]]:
        assert (key, with_aborted) == ((TOPIC, 0), False)
        for first in range(start, stop, 7):
            yield [_message(offset) for offset in range(first, min(first + 7, stop))]


def _message(offset: int) -> Message:
    reading = {"asset_id": "press-1", "timestamp": 1_704_067_200 + offset, "a": offset, "b": "on"}
    value = b"{broken" if offset in POISON else json.dumps(reading).encode()
    where: dict[str, Any] = {"topic": TOPIC, "partition": 0, "offset": offset, "leader_epoch": 0}
    return Message(**where, key=b"k", value=value, timestamp=(1, 1_704_067_200_000))


def _read(layout: Layout, disk: Disk, worker: str) -> int:
    numbers = itertools.count(1)
    past = PastMessages(
        layout=layout,
        disk=disk,
        log=Log(),  # type: ignore[arg-type]  # a log of one partition
        topic_id=lambda _: TOPIC_ID,
        decode=Decoder(DecodeSettings(topic_pattern="^.*")).decode,
        names=lambda: StagedName(next(numbers), worker, 0, 0),
        compression="zstd",
    )
    done: list[Past] = [
        past.run(Window(TOPIC, TOPIC_ID, 0, *span), store=True, told=lambda _: None)
        for span in plan_past((0, MESSAGES), (0, MESSAGES), None, covered(entries_now(layout)))
    ]
    return sum(one.messages for one in done)


@pytest.mark.parametrize("world", ["killed", "lost", "some"])
def test_a_power_cut_at_any_step_costs_no_message_and_doubles_none(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_storage.kafka.past._MOST_ROWS", 20)
    whole = Layout(tmp_path / "whole" / "raw")
    whole.root.mkdir(parents=True)
    counted = ForgetfulSteps(whole.root)
    assert _read(whole, Disk(whole.root, counted), "b0") == MESSAGES
    expected = stored_rows(whole)
    assert len(expected) == 2 * (MESSAGES - len(POISON))
    again = []
    for crash_at in range(counted.taken):
        for after in (False, True):
            layout = Layout(tmp_path / f"{crash_at}-{after}" / "raw")
            layout.root.mkdir(parents=True)
            steps = ForgetfulSteps(layout.root, crash_at=crash_at, after=after)
            with pytest.raises(PowerCut):
                _read(layout, Disk(layout.root, steps), "b1")
            steps.forget(world, seed=crash_at)
            Disk(layout.root).clear_aside()
            again.append(_read(layout, Disk(layout.root), "b2"))
            assert stored_rows(layout) == expected
            assert {letter.address.offset for letter in all_dead_letters(layout)} == POISON
            compactor(layout).run_once(NOW, NOW, flush=True)
            report = verify(layout, full=True, mark=False)
            assert report.findings == []
            assert [(part.stored, part.dead_letters, part.holes) for part in report.partitions] == [
                (38, 2, [])
            ]
            assert _read(layout, Disk(layout.root), "b3") == 0
            shutil.rmtree(layout.root)
    assert max(again) == MESSAGES
    assert min(again) < MESSAGES // 2
