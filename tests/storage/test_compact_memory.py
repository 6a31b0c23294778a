"""A backlog is merged in bounded memory, and blocks hold whole sensor-hours."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from sensor_storage.model import MICROSECONDS_PER_HOUR, Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import BLOCK_FILES
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import ROW_GROUP_ROWS, CheckedFile
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.staged_merge import StagedMerge
from sensor_storage.storage.staging import Staging
from support.trees import HOUR, NOW, readings_of, rows_of, stage

LIMIT_BYTES = 512_000_000
_COMPACT = f"""
import sys
from pathlib import Path
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, WritePolicy
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from support.memory import peak_bytes
layout = Layout(Path(sys.argv[1]))
compactor = Compactor(layout, Disk(layout.root), Catalog(layout), WritePolicy(), name="m0")
if sys.argv[2] == "first hours":
    compactor.go_on = lambda: False
    compactor.run_once({NOW}, {NOW})
compactor.run_once({NOW} + 100, {NOW}, flush=sys.argv[2] == "hours")
print(peak_bytes())
"""

_LOOK = """
import sys
from pathlib import Path
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.verify import verify
from support.memory import peak_bytes
assert verify(Layout(Path(sys.argv[1])), full=True).clean
print(peak_bytes())
"""


def _blocks(merge: StagedMerge, max_rows: int) -> list[Readings]:
    return [merge.read(block) for block in merge.blocks(max_rows)]


def _backlog(layout: Layout, segments: int, rows: int, sensors: int) -> None:
    series = [Series(f"asset-{n % 100}", f"sensor-{n // 100}") for n in range(sensors)]
    for number in range(segments):
        offsets = range(number * rows, number * rows + rows)
        stage(
            layout,
            readings_of(offsets, series=series, hour=HOUR + number * rows // 2_000_000),
            number=number,
            start=offsets.start,
            stop=offsets.stop,
        )


def _peak_bytes(layout: Layout, act: str) -> int:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _COMPACT, str(layout.raw), act],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    return int(done.stdout)


@pytest.mark.slow
def test_a_backlog_of_six_million_readings_is_merged_in_bounded_memory(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    _backlog(layout, 60, 100_000, 1000)
    for act in ("runs", "hours"):
        assert _peak_bytes(layout, act) < LIMIT_BYTES, act
    assert Catalog(layout, read_only=True).sums()[1] == 6_000_000
    assert layout.staged_files() == []


@pytest.mark.slow
def test_a_backlog_with_fifty_thousand_open_hours_in_each_segment_is_merged_in_bounded_memory(
    tmp_path: Path,
) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    _backlog(layout, 95, 50_000, 50_000)
    assert _peak_bytes(layout, "first hours") < LIMIT_BYTES
    assert Catalog(layout, read_only=True).sums()[0] == BLOCK_FILES


def test_of_a_large_file_no_more_is_held_than_what_is_wanted_and_one_row_group(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout, group = Layout(tmp_path / "data" / "raw"), ROW_GROUP_ROWS["segment"]
    series = [Series("p", f"s{n:03}") for n in range(100)]
    readings = readings_of(range(4 * group), series=series)
    stage(layout, readings, number=0, start=0, stop=4 * group)
    staging = Staging(layout)
    files = staging.refresh()
    wanted = files[0].keys[[3, 4, 50, 97]]
    held: list[int] = []
    rows = CheckedFile.rows

    def watched(file: CheckedFile, start: int, stop: int) -> Readings:
        held.append(stop - start)
        return rows(file, start, stop)

    monkeypatch.setattr(CheckedFile, "rows", watched)
    (block,) = _blocks(StagedMerge(files, staging.keys, wanted), 10**9)
    assert rows_of(block) == [
        row for row in rows_of(readings) if row[3] in {series[place] for place in (3, 4, 50, 97)}
    ]
    assert held == [group] * 3  # the third of the four has none of them


@pytest.mark.parametrize("max_rows", [1, 7, 100, 10_000])
def test_blocks_hold_whole_sensor_hours_in_order_and_about_so_many_rows(
    tmp_path: Path, max_rows: int
) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    series = [Series(f"p{n % 5}", f"s{n}") for n in range(13)]
    for number in range(6):
        offsets = range(number * 40, number * 40 + 50)  # ten again in each
        stage(
            layout, readings_of(offsets, series=series), number=number, start=offsets.start, stop=offsets.stop
        )
    staging = Staging(layout)
    files = staging.refresh()
    whole = _blocks(StagedMerge(files, staging.keys), 10**9)
    blocks = _blocks(StagedMerge(files, staging.keys), max_rows)
    assert rows_of(Readings.concat(blocks)) == rows_of(whole[0])
    keys = [key for block in blocks for key, _ in block.sensor_hours()]
    assert keys == sorted(set(keys))
    largest = max(len(rows) for block in blocks for _, rows in block.sensor_hours())
    assert max(map(len, blocks)) <= max_rows + 2 * largest
    wanted = files[0].keys[::3]
    hours = {
        key
        for block in _blocks(StagedMerge(files, staging.keys, wanted), max_rows)
        for key, _ in block.sensor_hours()
    }
    assert hours == {staging.keys.sensor_hour(key) for key in wanted.tolist()}


def test_rows_of_several_hours_wait_each_for_their_own_file(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    readings = readings_of(range(0, 9000, 7), spread_seconds=1)
    shifted = Readings(**{**readings.__dict__, "timestamp": readings.timestamp + readings.offset * 1_000_000})
    stage(layout, shifted, number=0, start=0, stop=9000)
    (file,) = Staging(layout).refresh()
    _, counts = np.unique(
        np.stack([shifted.series.codes, shifted.timestamp // MICROSECONDS_PER_HOUR]),
        axis=1,
        return_counts=True,
    )
    assert sorted(file.counts.tolist()) == sorted(counts.tolist())


@pytest.mark.slow
def test_a_20_khz_sensor_is_verified_in_bounded_memory(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    for number in range(40):
        offsets = range(number * 100_000, number * 100_000 + 100_000)
        rows = readings_of(offsets, series=[Series("press-1", "sound")], spread_seconds=0)
        stage(layout, rows, number=number, start=offsets.start, stop=offsets.stop)
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-c", _LOOK, str(layout.raw)],
        capture_output=True,
        check=True,
        text=True,
        env=os.environ | {"PYTHONPATH": str(Path(__file__).parents[1])},
    )
    assert int(done.stdout) < 400_000_000
