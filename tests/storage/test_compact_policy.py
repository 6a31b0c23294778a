"""When the running compactor writes: open hours by growth, closed ones once, late rows in company."""

from pathlib import Path

import pytest

from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.compact import BLOCK_FILES, FAN_IN, Compactor
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.staging import Staging
from sensor_storage.storage.verify import verify
from support.forgetful import ForgetfulSteps, PowerCut
from support.trees import HOUR, NOW, compactor, hour_rows, readings_of, stage, stored_rows

SERIES = Series("press-1", "temperature")
CLOSED = (HOUR + 1) * 3600 + 100.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data" / "raw")


def _stage(layout: Layout, number: int, *, first: int, rows: int, hour: int = HOUR) -> None:
    readings = readings_of(range(first, first + rows), series=[SERIES], hour=hour)
    stage(layout, readings, number=number, start=first, stop=first + rows)


def _held(layout: Layout) -> int:
    path = layout.hour_file(SensorHour(SERIES, HOUR))
    return len(CheckedFile(path).readings()) if path.exists() else 0


def _rounds(running: Compactor, now: float, watermark: float) -> None:
    """Enough rounds for a plan to be due."""
    for seconds in range(0, 40, 2):
        running.run_once(now + seconds, watermark)


def test_an_open_hours_file_is_written_again_only_when_four_times_its_rows_wait(layout: Layout) -> None:
    running = compactor(layout)
    _stage(layout, 0, first=0, rows=10)
    _rounds(running, NOW, NOW)
    assert _held(layout) == 0  # rows wait for the flush interval
    _rounds(running, NOW + 100, NOW)
    assert _held(layout) == 10
    _stage(layout, 1, first=10, rows=39)
    _rounds(running, NOW + 200, NOW)
    assert _held(layout) == 10
    _stage(layout, 2, first=49, rows=1)
    _rounds(running, NOW + 300, NOW)
    assert _held(layout) == 50


def test_with_factor_0_an_hours_file_is_written_when_it_closes(layout: Layout) -> None:
    running = compactor(layout, factor=0)
    _stage(layout, 0, first=0, rows=10)
    _rounds(running, NOW + 1000, NOW)
    assert _held(layout) == 0
    _rounds(running, CLOSED, CLOSED)
    assert _held(layout) == 10


def test_an_hour_stays_open_while_kafka_time_lags_behind_the_clock(layout: Layout) -> None:
    running = compactor(layout, factor=0)
    _stage(layout, 0, first=0, rows=10)
    _rounds(running, CLOSED + 1000, NOW)
    assert _held(layout) == 0


def test_an_hour_that_is_caught_up_is_written_when_it_closes(layout: Layout) -> None:
    running = compactor(layout)
    _stage(layout, 0, first=0, rows=10)
    _rounds(running, CLOSED + 1000, NOW)
    assert _held(layout) == 0
    _rounds(running, CLOSED + 1100, CLOSED)
    assert _held(layout) == 10


def test_late_rows_join_a_closed_hours_file_after_the_flush_interval(layout: Layout) -> None:
    running = compactor(layout)
    _stage(layout, 0, first=0, rows=100)
    _rounds(running, CLOSED, CLOSED)
    _stage(layout, 1, first=100, rows=1)  # created at NOW: it has waited
    _rounds(running, CLOSED + 100, CLOSED)
    assert _held(layout) == 101
    assert layout.staged_files() == []


def test_a_flush_writes_everything_and_says_so(layout: Layout) -> None:
    for number in range(2 * FAN_IN):
        _stage(layout, number, first=number * 5, rows=5, hour=HOUR + number % 3)
    running = compactor(layout)
    running.run_once(NOW, NOW)
    report = running.run_once(NOW, NOW, flush=True)
    assert (report.rows, report.hour_files, report.blocked) == (10 * FAN_IN, 3, {})
    assert layout.staged_files() == []
    assert running.run_once(NOW, NOW, flush=True).did_something is False


def test_a_round_lets_know_file_by_file_that_it_goes_on(layout: Layout) -> None:
    series = [Series("press-1", f"s{number}") for number in range(30)]
    stage(layout, readings_of(range(90), series=series), number=0, start=0, stop=90)
    told = []
    one = compactor(layout)
    one.alive = lambda: told.append(1)
    assert one.run_once(NOW, NOW, flush=True).hour_files == len(told)


def test_a_round_without_time_leaves_hour_files_to_the_next_which_begins_with_them(layout: Layout) -> None:
    series = [Series("press-1", f"s{number:03}") for number in range(2 * BLOCK_FILES + 1)]
    for number in range(FAN_IN):
        rows = readings_of(range(number * len(series), (number + 1) * len(series)), series=series)
        stage(layout, rows, number=number, start=number * len(series), stop=(number + 1) * len(series))
    hurried = compactor(layout)
    hurried.run_once(NOW, NOW)
    _stage(
        layout, FAN_IN, first=FAN_IN * len(series), rows=10, hour=HOUR - 1
    )  # due too, and first in order, but later
    hurried.go_on = lambda: False
    rounds = []
    for number in range(4):
        report = hurried.run_once(NOW + 100 + number, NOW)
        rounds.append((report.hour_files, report.runs, hurried.more))
    assert rounds == [(BLOCK_FILES, 0, True), (BLOCK_FILES, 0, True), (2, 0, False), (0, 0, False)]
    assert layout.staged_files() == []
    assert verify(layout, full=True, mark=False).findings == []


def test_a_replay_of_every_segment_changes_no_file(layout: Layout) -> None:
    for number in range(5):
        _stage(layout, number, first=number * 5, rows=5)
    compactor(layout).run_once(NOW, NOW, flush=True)
    files = [*layout.hour_files(), *layout.ledger_files()]
    before = [(path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in files]
    for number in range(5):
        _stage(layout, number, first=number * 5, rows=5)
    report = compactor(layout).run_once(NOW, NOW, flush=True)
    assert (report.hour_files, report.unchanged, report.retired) == (0, 1, 5)
    assert [(path.stat().st_mtime_ns, path.stat().st_ino, path.read_bytes()) for path in files] == before


def test_runs_never_take_the_name_of_a_live_run(layout: Layout) -> None:
    expected = 0
    for start in range(3):  # each an ordinary start; all segments were created in the same milliseconds
        for number in range(FAN_IN):
            _stage(layout, number, first=expected, rows=2)
            expected += 2
        compactor(layout).run_once(NOW, NOW)
        assert len({name for name, _ in layout.staged_files() if name.level == 1}) == start + 1
    assert len(stored_rows(layout)) == expected


@pytest.mark.parametrize("flush", [True, False])
def test_what_a_killed_process_began_survives_a_later_power_cut_once_the_next_has_finished_it(
    tmp_path: Path, flush: bool
) -> None:
    """The second process meets directories the first one made and never synced."""
    for crash_at in range(1000):
        layout = Layout(tmp_path / str(crash_at) / "raw")
        layout.root.mkdir()
        steps = ForgetfulSteps(layout.root, crash_at=crash_at)
        try:
            disk = Disk(layout.root, steps)
            for number in range(FAN_IN):
                readings = readings_of(range(number * 3, number * 3 + 3), hour=HOUR + number % 2)
                stage(layout, readings, number=number, start=number * 3, stop=number * 3 + 3, disk=disk)
            compactor(layout, steps=steps).run_once(NOW, NOW, flush=flush)
        except PowerCut:
            finished = False
        else:
            finished = True
        steps._crash_at = None
        expected = stored_rows(layout) if layout.staging.exists() else []
        compactor(layout, steps=steps).run_once(NOW, NOW, flush=True)
        steps.forget("lost")
        assert hour_rows(layout) == expected, crash_at
        if finished:
            assert verify(layout, full=True, mark=False).findings == []
            return
    pytest.fail("the run takes more steps than were tried")


@pytest.mark.parametrize("flush", [True, False])
def test_a_backlog_too_large_for_the_index_is_worked_off_oldest_first(layout: Layout, flush: bool) -> None:
    for number in range(3 * FAN_IN):
        _stage(layout, number, first=number * 5, rows=5)
    running = compactor(layout)
    running.staging = Staging(layout, max_entries=4)
    running.run_once(NOW, NOW, flush=flush)
    assert len(running.staging.live) <= 4
    for _ in range(3 * FAN_IN):
        running.run_once(NOW, NOW, flush=flush)
    assert running.staging.complete
    assert len(stored_rows(layout)) == 3 * FAN_IN * 5
    assert layout.staged_files() == [] or not flush
    assert verify(layout, full=True, mark=False).findings == []


def test_inputs_left_beside_their_run_go_even_when_the_index_takes_them_in_later(layout: Layout) -> None:
    for number in range(FAN_IN):
        _stage(layout, number, first=number * 5, rows=5)
    before = {path: path.read_bytes() for _, path in layout.staged_files()}
    compactor(layout).run_once(NOW, NOW)
    for path, data in before.items():
        path.write_bytes(data)  # as after a death before the inputs were removed
    running = compactor(layout)
    running.staging = Staging(layout, max_entries=2)
    assert running.run_once(NOW, NOW, flush=True).retired == 1  # the run; its inputs were not merged again
    assert layout.staged_files() == []
    assert len(hour_rows(layout)) == FAN_IN * 5
    assert verify(layout, full=True, mark=False).findings == []
