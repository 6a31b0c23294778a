"""A sensor-hour larger than memory may hold becomes the same file, slice by slice."""

import itertools
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.storage import look as look_module
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import ROW_GROUP_ROWS, CheckedFile
from sensor_storage.storage.readings import Readings, union
from sensor_storage.storage.staged_merge import plan_blocks
from sensor_storage.storage.stretches import plan_cuts
from sensor_storage.storage.verify import verify
from support.trees import HOUR, NOW, compactor, hour_rows, readings_of, rows_of, stage

LOUD, QUIET = Series("press-1", "sound"), Series("press-2", "temperature")
LOUD_HOUR = SensorHour(LOUD, HOUR)


@pytest.fixture(autouse=True)
def small_row_groups(monkeypatch: pytest.MonkeyPatch) -> None:
    for kind in ROW_GROUP_ROWS:
        monkeypatch.setitem(ROW_GROUP_ROWS, kind, 4)


def _shuffled(offsets: range, seed: int, series: tuple[Series, ...] = (LOUD, LOUD, LOUD, QUIET)) -> Readings:
    """Readings whose time has little to do with their offset, several of one instant among them."""
    readings = readings_of(offsets, series=series)
    late = np.random.default_rng(seed).integers(0, 40, 1000)[readings.offset] * 1_000_000
    return Readings(**{**readings.__dict__, "timestamp": HOUR * MICROSECONDS_PER_HOUR + late})


def _stage(layout: Layout, starts: list[int], *, contradicting: bool = False) -> Readings:
    blocks = []
    for number, start in enumerate(starts):
        offsets = range(start, start + 30)
        blocks.append(_shuffled(offsets, seed=number if contradicting else 1))
        stage(layout, blocks[-1], number=number, start=offsets.start, stop=offsets.stop)
    return union(blocks)


@pytest.mark.parametrize(
    "starts", [[0, 30, 60], [0, 10, 20, 90], [0, 0, 0]], ids=["apart", "overlapping", "equal"]
)
@pytest.mark.parametrize("block_rows", [1, 5, 40])
@pytest.mark.parametrize("contradicting", [False, True], ids=["", "of unequal content"])
def test_a_large_sensor_hour_becomes_the_file_it_would_be_in_one_piece(
    tmp_path: Path, starts: list[int], block_rows: int, contradicting: bool
) -> None:
    layouts = [Layout(tmp_path / name / "raw") for name in ("sliced", "whole")]
    for layout, rows in zip(layouts, (block_rows, 10**6), strict=True):
        expected = _stage(layout, starts, contradicting=contradicting)
        compactor(layout, block_rows=rows).run_once(NOW, NOW, flush=True)
        assert hour_rows(layout) == rows_of(expected)
        assert contradicting or verify(layout, full=True, mark=False).findings == []
    sliced, whole = (CheckedFile(layout.hour_file(LOUD_HOUR)) for layout in layouts)
    assert sliced.footer() == whole.footer()
    assert sliced.readings().hashes.tolist() == whole.readings().hashes.tolist()


@pytest.mark.parametrize("block_rows", [10, 10**6], ids=["in slices", "whole"])
def test_an_hour_file_s_bytes_do_not_tell_in_which_order_it_was_merged(
    tmp_path: Path, block_rows: int
) -> None:
    files = []
    for name, orders in (
        ("rising", [[0], [30], [60]]),
        ("falling", [[60], [30], [0]]),
        ("at once", [[60, 0, 30]]),
    ):
        layout = Layout(tmp_path / name / "raw")
        for number, starts in enumerate(orders):
            for start in starts:
                rows = _shuffled(range(start, start + 30), seed=1, series=(LOUD,))
                named = Coded.encode(["mV" if n % 3 else f"u{n}" for n in rows.offset.tolist()])
                rows = Readings(**{**rows.__dict__, "unit": named, "quality": named})
                stage(layout, rows, number=number * 10 + start, start=start, stop=start + 30)
            compactor(layout, block_rows=block_rows).run_once(NOW, NOW, flush=True)
        files.append(layout.hour_file(LOUD_HOUR).read_bytes())
    assert files[0] == files[1] == files[2]


@pytest.mark.parametrize("late", [range(90, 95), range(40, 45)], ids=["new rows", "known rows"])
def test_late_rows_join_a_large_file_and_known_ones_leave_it_as_it_is(tmp_path: Path, late: range) -> None:
    layout = Layout(tmp_path / "raw")
    known = _stage(layout, [0, 30, 60])
    compactor(layout, block_rows=10).run_once(NOW, NOW, flush=True)
    path = layout.hour_file(LOUD_HOUR)
    before = path.stat().st_ino
    rows = (
        known.where(np.isin(known.offset, late))
        if late.stop <= 90
        else _shuffled(late, seed=5, series=(LOUD,))
    )
    stage(layout, rows, number=9, start=late.start, stop=late.stop)
    report = compactor(layout, block_rows=10).run_once(NOW, NOW, flush=True)
    assert hour_rows(layout) == rows_of(union([known, rows]))
    assert (path.stat().st_ino == before) == (late.stop <= 90)
    assert report.retired == 1
    assert list((layout.staging / ".aside").iterdir()) == []


def test_runs_of_a_large_sensor_hour_are_merged_in_slices(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    expected = _stage(layout, [start * 20 for start in range(16)])
    compactor(layout, block_rows=10).run_once(NOW, NOW)
    ((name, path),) = layout.staged_files()
    assert name.level == 1
    assert rows_of(CheckedFile(path).readings()) == rows_of(expected)
    assert verify(layout, full=True, mark=False).findings == []


@pytest.mark.parametrize("starts", [[0, 30, 60], [0, 10, 20]], ids=["apart", "overlapping"])
def test_work_on_a_large_sensor_hour_lets_know_slice_by_slice_that_it_goes_on(
    tmp_path: Path, starts: list[int]
) -> None:
    layout = Layout(tmp_path / "raw")
    rows = len(_stage(layout, starts))
    told = []
    one = compactor(layout, block_rows=5)
    one.alive = lambda: told.append(1)
    one.run_once(NOW, NOW, flush=True)
    assert len(told) > rows / 10


@pytest.mark.parametrize("late", [range(90, 120), range(30, 60)], ids=["new rows", "known rows"])
def test_a_large_sensor_hour_half_staged_is_verified_in_slices(
    tmp_path: Path, late: range, monkeypatch: pytest.MonkeyPatch
) -> None:
    layout = Layout(tmp_path / "raw")
    monkeypatch.setattr(look_module, "BLOCK_ROWS", 10)
    known = _stage(layout, [0, 30, 60])
    compactor(layout).run_once(NOW, NOW, flush=True)
    rows = known.where(np.isin(known.offset, late)) if late.stop <= 90 else _shuffled(late, seed=5)
    stage(layout, rows, number=9, start=late.start, stop=late.stop)
    report = verify(layout, full=True, mark=False)
    assert report.findings == []
    assert sum(item.readings for item in report.partitions) == len(union([known, rows]))
    path = layout.hour_file(LOUD_HOUR)
    path.write_bytes(path.read_bytes()[:-7])
    words = str(verify(layout, full=True, mark=False).findings)
    assert "damaged" in words
    assert "missing" in words


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=30), st.integers(1, 40))
def test_blocks_keep_order_and_a_large_sensor_hour_is_alone(rows: list[int], max_rows: int) -> None:
    blocks = plan_blocks(np.array(rows), max_rows).tolist()
    assert blocks[0] == 0
    assert all(later - earlier in {0, 1} for earlier, later in itertools.pairwise(blocks))
    for block in set(blocks):
        members = [count for count, of in zip(rows, blocks, strict=True) if of == block]
        assert len(members) == 1 or max(members) <= max_rows
        assert len(members) == 1 or sum(members) < 2 * max_rows


def test_cuts_fall_behind_row_groups_and_never_within_an_instant() -> None:
    assert plan_cuts([(10, 4), (20, 4), (30, 4)], max_rows=8)[:-1] == [21]
    assert plan_cuts([(10, 9), (10, 9), (20, 1)], max_rows=8)[:-1] == [11]
    assert plan_cuts([], max_rows=8)[:-1] == []
