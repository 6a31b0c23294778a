"""A power cut at every durable step of compaction; the restart must end where the uncrashed run ends."""

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sensor_storage.storage.compact import FAN_IN
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.verify import verify
from support.forgetful import ForgetfulSteps, PowerCut, World
from support.trees import NOW, compactor, hour_rows, readings_of, stage, stored_rows

Prepare = Callable[[Layout], None]


def _fresh(layout: Layout) -> None:
    for number in range(3):
        stage(
            layout,
            readings_of(range(number * 10, number * 10 + 10)),
            number=number,
            start=number * 10,
            stop=number * 10 + 10,
        )


def _open_hour(layout: Layout) -> None:
    _fresh(layout)
    compactor(layout).run_once(NOW, NOW, flush=True)
    for number in range(3, 5):
        stage(
            layout,
            readings_of(range(number * 10, number * 10 + 10)),
            number=number,
            start=number * 10,
            stop=number * 10 + 10,
        )


def _many_segments(layout: Layout) -> None:
    for number in range(FAN_IN + 1):
        stage(
            layout,
            readings_of(range(number * 3, number * 3 + 3)),
            number=number,
            start=number * 3,
            stop=number * 3 + 3,
        )


@pytest.mark.parametrize("world", ["killed", "lost", "some"])
@pytest.mark.parametrize(
    ("prepare", "flush"),
    [(_fresh, True), (_open_hour, True), (_many_segments, False)],
    ids=["first hour files", "an open hour again", "segments to a run"],
)
def test_no_power_cut_loses_or_doubles_a_reading(
    tmp_path: Path, prepare: Prepare, flush: bool, world: World
) -> None:
    before = Layout(tmp_path / "before" / "raw")
    prepare(before)
    expected = stored_rows(before)
    steps = _steps(tmp_path, before, flush=flush)
    assert steps > 5
    for crash_at in range(steps):
        for after in (False, True):
            layout = _copy(before, tmp_path / f"{crash_at}-{after}")
            disk = ForgetfulSteps(layout.root, crash_at=crash_at, after=after)
            with pytest.raises(PowerCut):
                compactor(layout, steps=disk).run_once(NOW, NOW, flush=flush)
            disk.forget(world, seed=crash_at)
            assert stored_rows(layout) == expected
            compactor(layout).run_once(NOW, NOW, flush=True)
            assert hour_rows(layout) == expected
            assert layout.staged_files() == []
            assert verify(layout, full=True, mark=False).findings == []
            shutil.rmtree(layout.root)


def _steps(tmp_path: Path, before: Layout, *, flush: bool) -> int:
    layout = _copy(before, tmp_path / "counted")
    disk = ForgetfulSteps(layout.root)
    compactor(layout, steps=disk).run_once(NOW, NOW, flush=flush)
    return disk.taken


def _copy(before: Layout, root: Path) -> Layout:
    shutil.copytree(before.root, root)
    return Layout(root / "raw")
