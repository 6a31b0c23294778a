"""`backfill --replace-overlap`: who wins where Kafka and a file cover the same time of a sensor."""

import itertools
import json
import shutil
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest

from sensor_storage.kafka.backfill import Backfill, Backfilled
from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.names import Aliases
from sensor_storage.kafka.overlap import KafkaTimes, Stretches, joined
from sensor_storage.model import Series
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import Coverage
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings, union
from sensor_storage.storage.verify import verify
from support.command import Run
from support.forgetful import ForgetfulSteps, PowerCut, World
from support.trees import NOW, compactor, readings_of, stage, stored_rows

START = int(datetime(2024, 1, 1, tzinfo=UTC).timestamp())
HOUR = START // 3600


def _from_kafka(layout: Layout, seconds: Iterable[int], sensor: str = "t", *, number: int = 1) -> None:
    """A reading of Kafka at each of these seconds of the hour, with that as its offset, waiting in staging."""
    offsets = list(seconds)
    rows = readings_of(offsets, series=[Series("press-1", sensor)], hour=HOUR)
    stage(layout, rows, number=number, start=offsets[0], stop=offsets[-1] + 1)


def _csv(path: Path, seconds: Iterable[int], sensor: str = "t") -> str:
    lines = [f"press-1,{sensor},{START + second},{second / 8}" for second in seconds]
    path.write_text("\n".join(["asset_id,sensor_name,timestamp,value", *lines]))
    return str(path)


def _times(layout: Layout, *, files: bool) -> list[int]:
    """The seconds of the stored readings that came from files, or from Kafka."""
    paths = [*layout.hour_files(), *(path for _, path in layout.staged_files())]
    rows = union([CheckedFile(path).readings() for path in paths])
    kinds = [source.is_import == files for source in rows.source.tolist() if source]
    return sorted((rows.timestamp[np.array(kinds)] // 1_000_000 - START).tolist())


def test_by_default_both_are_kept(run: Run, layout: Layout, tmp_path: Path) -> None:
    _from_kafka(layout, range(100))
    assert run("backfill", _csv(tmp_path / "old.csv", range(100))).code == 0
    assert _times(layout, files=True) == _times(layout, files=False) == list(range(100))
    assert verify(layout, full=True).clean


def test_where_kafka_wins_a_file_fills_only_what_kafka_has_not_and_again_changes_nothing(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    _from_kafka(layout, [*range(100, 200), *range(300, 400)])
    path = _csv(tmp_path / "old.csv", range(500))
    done = run("backfill", "--replace-overlap", "kafka", path, "--json")
    assert (done.code, done.lines()[-1]["overlapping"]) == (0, 200)
    assert _times(layout, files=True) == [*range(100), *range(200, 300), *range(400, 500)]
    assert _times(layout, files=False) == [*range(100, 200), *range(300, 400)]
    before = {file: file.read_bytes() for file in layout.raw.rglob("*.parquet")}
    for words in (["--replace-overlap", "kafka"], []):
        again = run("backfill", *words, path, "--json")
        assert (again.lines()[-1]["already"], again.lines()[-1]["readings"]) == (500, 0)
    assert {file: file.read_bytes() for file in layout.raw.rglob("*.parquet")} == before
    report = verify(layout, full=True)
    assert report.clean, report.findings


def test_time_between_two_readings_of_kafka_is_covered_up_to_the_seconds_given(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    _from_kafka(layout, [10, 70, 131])
    path = _csv(tmp_path / "old.csv", [9, 10, 11, 69, 70, 71, 130, 131, 132])
    assert run("backfill", "--replace-overlap", "kafka", path).code == 0
    assert _times(layout, files=True) == [9, 71, 130, 132]
    wider = _csv(tmp_path / "wider.csv", [9, 71, 130, 133])
    assert run("backfill", "--replace-overlap", "kafka", "--overlap-seconds", "61", wider).code == 0
    assert _times(layout, files=True) == [9, 9, 71, 130, 132, 133]


def test_another_sensor_and_another_import_cover_nothing(run: Run, layout: Layout, tmp_path: Path) -> None:
    _from_kafka(layout, range(100), "other")
    first, second = _csv(tmp_path / "a.csv", range(100)), _csv(tmp_path / "b.csv", range(101))
    assert run("backfill", "--replace-overlap", "kafka", first, second).code == 0
    assert len(_times(layout, files=True)) == 201


def test_what_kafka_brings_later_does_not_take_an_import_away(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    path = _csv(tmp_path / "old.csv", range(100))
    assert run("backfill", "--replace-overlap", "kafka", path).code == 0
    _from_kafka(layout, range(50, 150))
    assert run("backfill", "--replace-overlap", "kafka", path).code == 0
    assert _times(layout, files=True) == list(range(100))
    assert _times(layout, files=False) == list(range(50, 150))
    assert verify(layout, full=True).clean


def test_of_a_row_with_many_sensors_only_those_that_kafka_has_are_left_out(
    run: Run, layout: Layout, tmp_path: Path
) -> None:
    _from_kafka(layout, range(60), "a")  # the first field of each row
    path = tmp_path / "wide.ndjson"
    rows = [{"asset_id": "press-1", "timestamp": START + n, "a": n, "b": n} for n in range(100)]
    path.write_text("\n".join(map(json.dumps, rows)))
    done = run("backfill", "--replace-overlap", "kafka", str(path), "--json")
    assert (done.lines()[-1]["readings"], done.lines()[-1]["overlapping"]) == (140, 60)
    report = verify(layout, full=True)
    assert report.clean, report.findings


def test_what_of_kafka_is_only_in_the_cold_store_wins_too(
    run: Run, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLD_STORE_URL", (tmp_path / "cold").as_uri())
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    _from_kafka(layout, range(100))
    assert run("upload").code == 0
    assert run("cleanup").code == 0
    assert layout.hour_files() == []
    path = _csv(tmp_path / "old.csv", range(150))
    done = run("backfill", "--replace-overlap", "kafka", path, "--json")
    assert (done.code, done.lines()[-1]["overlapping"]) == (0, 100)


@pytest.mark.parametrize("world", ["killed", "lost", "some"])
def test_an_import_that_dies_at_any_step_ends_as_one_that_did_not(
    tmp_path: Path, world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sensor_storage.kafka.file_rows.ROWS", 40)
    path = tmp_path / "old.ndjson"
    rows = [{"asset_id": "press-1", "timestamp": START + n, "t": n, "u": n} for n in range(130)]
    path.write_text("\n".join(map(json.dumps, rows)))
    whole = _tree(tmp_path / "whole")
    counted = ForgetfulSteps(whole.root)
    _import(whole, Disk(whole.root, counted), path, "b0")
    expected = stored_rows(whole)
    assert len(expected) == 50 + 260 - 50
    for crash_at in range(counted.taken):
        for after in (False, True):
            layout = _tree(tmp_path / f"{crash_at}-{after}")
            steps = ForgetfulSteps(layout.root, crash_at=crash_at, after=after)
            with pytest.raises(PowerCut):
                _import(layout, Disk(layout.root, steps), path, "b1")
            steps.forget(world, seed=crash_at)
            Disk(layout.root).clear_aside()
            _import(layout, Disk(layout.root), path, "b2")
            assert stored_rows(layout) == expected
            compactor(layout).run_once(NOW, NOW, flush=True)
            assert verify(layout, full=True, mark=False).findings == []
            shutil.rmtree(layout.root)


def _tree(root: Path) -> Layout:
    layout = Layout(root / "raw")
    layout.root.mkdir(parents=True)
    _from_kafka(layout, range(30, 80))
    compactor(layout).run_once(NOW, NOW, flush=True)
    return layout


def _import(layout: Layout, disk: Disk, path: Path, worker: str) -> Backfilled:
    numbers = itertools.count(1)
    return Backfill(
        layout=layout,
        disk=disk,
        decode=Decoder(DecodeSettings(topic_pattern="^.*")).decode,
        names=lambda: StagedName(next(numbers), worker, 0, 0),
        compression="zstd",
        known=Coverage(read_all_ledgers(layout)),
        covered=KafkaTimes(layout, lambda file: file, 60_000_000).cover,
        aliases=Aliases(),
        now=NOW,
    ).run(path, told=lambda _: None)


def test_stretches_are_joined_within_the_reach_and_hold_both_their_ends() -> None:
    def stretches(*times: int) -> Stretches:
        return Stretches(np.array(times, np.int64), np.array(times, np.int64))

    whole = joined([stretches(0, 5, 11), stretches(), stretches(16, 30)], 5)
    assert list(zip(whole.first.tolist(), whole.last.tolist(), strict=True)) == [(0, 5), (11, 16), (30, 30)]
    times = np.array([-1, 0, 3, 5, 6, 10, 11, 16, 17, 30, 31])
    assert whole.cover(times).tolist() == [t in {0, 3, 5, 11, 16, 30} for t in times.tolist()]
    assert not joined([], 5).cover(times).any()
    assert Readings.empty().sensor_hour_bounds() == []
