"""What damage, a newer program's files and a death at a bad moment may do to compaction, and what they may not."""

from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from sensor_storage.errors import DiskFull, Halt
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.compact import FAN_IN, Compactor
from sensor_storage.storage.durable import PosixSteps
from sensor_storage.storage.footers import Footer, totals_of
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry, fold, uncovered
from sensor_storage.storage.ledger_files import LedgerFooter, read_all_ledgers
from sensor_storage.storage.parquet import CheckedFile, encode_readings, encode_table
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.staging import superseded
from sensor_storage.storage.verify import verify
from support.forgetful import ForgetfulSteps, PowerCut
from support.trees import HOUR, NOW, SOURCE, compactor, hour_rows, readings_of, rows_of, stage

DAY_SECONDS = 86_400.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data" / "raw")


def _stage(layout: Layout, number: int, *, hour: int = HOUR, series: str = "temperature") -> Path:
    """Segment `number` answers for the three offsets from `3 * number` on."""
    offsets = range(3 * number, 3 * number + 3)
    readings = readings_of(offsets, hour=hour, series=[Series("press-1", series)])
    return stage(layout, readings, number=number, start=offsets.start, stop=offsets.stop)


def _cut_the_power(
    run: Callable[[Compactor], object], layout: Layout, *, where: str, unlinks: int = 0
) -> None:
    """Run compaction, and stop before it unlinks a file of that folder, after so many earlier ones."""

    class Steps(ForgetfulSteps):
        left = unlinks

        def unlink(self, path: Path) -> None:
            if path.parent.name == where:
                if self.left == 0:
                    raise PowerCut
                self.left -= 1
            super().unlink(path)

    with pytest.raises(PowerCut):
        run(compactor(layout, steps=Steps(layout.root)))


def _flip(path: Path) -> None:
    data = bytearray(path.read_bytes())
    data[len(data) // 3] ^= 4
    path.write_bytes(data)


def _aside(layout: Layout) -> list[Path]:
    return list((layout.staging / ".aside").iterdir())


def _received(layout: Layout) -> int:
    return sum(entry.readings for entry in uncovered(read_all_ledgers(layout)))


def test_inputs_a_death_left_beside_their_run_are_not_counted_twice_in_the_ledger(layout: Layout) -> None:
    def open_hour_then_many_segments(running: Compactor) -> None:
        _stage(layout, 0)
        running.run_once(NOW, NOW, flush=True)
        for number in range(2, FAN_IN + 1):
            _stage(layout, number, hour=HOUR + 1)
        running.run_once(NOW, NOW)
        _stage(layout, 1)
        running.run_once(NOW, NOW)

    _cut_the_power(open_hour_then_many_segments, layout, where="staging", unlinks=1)
    assert len(layout.staged_files()) == FAN_IN + 1
    again = compactor(layout)
    for flush in (False, False, True):
        again.run_once(NOW, NOW, flush=flush)
        assert _received(layout) == 3 * (FAN_IN + 1)
    assert verify(layout, full=True, mark=False).findings == []
    assert len(hour_rows(layout)) == 3 * (FAN_IN + 1)


def test_a_death_at_midnight_between_ledger_and_removal_counts_nothing_twice(layout: Layout) -> None:
    _stage(layout, 0)
    compactor(layout).run_once(NOW, NOW, flush=True)
    _stage(layout, 1)
    _cut_the_power(lambda one: one.run_once(NOW, NOW, flush=True), layout, where="staging")
    _stage(layout, 2)
    compactor(layout).run_once(NOW + DAY_SECONDS, NOW, flush=True)
    assert len(layout.ledger_files()) == 2
    assert _received(layout) == 9
    assert verify(layout, full=True, mark=False).findings == []


def test_ledger_entries_that_move_while_they_are_read_are_not_missed(tmp_path: Path) -> None:
    class Moving(Layout):
        def staged_files(self) -> list[tuple[StagedName, Path]]:
            found = super().staged_files()
            plain = Layout(self.raw)
            if len(found) >= FAN_IN:
                compactor(plain).run_once(NOW, NOW)
            return found

    layout = Moving(tmp_path / "data" / "raw")
    for number in range(FAN_IN):
        _stage(layout, number)
    assert fold(read_all_ledgers(layout)) == fold(read_all_ledgers(Layout(layout.raw)))
    assert _received(layout) == 3 * FAN_IN


def _newer(readings: Readings, entry: LedgerEntry) -> memoryview:
    footer = Footer(
        kind="segment", rows=len(readings), totals=totals_of(readings), ledger=(entry,), min_writer_version=3
    )
    return encode_readings(readings, footer)


def test_a_newer_programs_segment_is_not_merged(layout: Layout) -> None:
    path = _stage(layout, 0)
    readings = CheckedFile(path).readings()
    path.write_bytes(_newer(readings, LedgerEntry(SOURCE, 0, 3, 3, 3)))
    with pytest.raises(Halt, match="writer version 3"):
        compactor(layout).run_once(NOW, NOW, flush=True)
    assert layout.hour_files() == []
    assert path.exists()


def test_a_footer_only_a_newer_program_understands_halts_too(layout: Layout) -> None:
    class NewFooter(msgspec.Struct):
        kind: str = "pack"
        min_writer_version: int = 7

    path = _stage(layout, 0)
    path.write_bytes(encode_table(CheckedFile(path).parquet.read(), NewFooter()))
    with pytest.raises(Halt, match="writer version 7"):
        compactor(layout).run_once(NOW, NOW, flush=True)


def test_a_newer_programs_ledger_is_not_written_over(layout: Layout) -> None:
    _stage(layout, 0)
    compactor(layout).run_once(NOW, NOW, flush=True)
    (ledger,) = layout.ledger_files()
    newer = encode_table(CheckedFile(ledger).parquet.read(), LedgerFooter(rows=1, min_writer_version=3))
    ledger.write_bytes(newer)
    staged = _stage(layout, 1)
    with pytest.raises(Halt, match="writer version 3"):
        compactor(layout).run_once(NOW, NOW, flush=True)
    assert ledger.read_bytes() == newer
    assert staged.exists()


def test_an_hour_file_of_a_newer_program_halts_and_leaves_nothing_aside(layout: Layout) -> None:
    hour = layout.hour_file(SensorHour(Series("press-1", "z"), HOUR))
    _stage(layout, 0, series="a")
    path = _stage(layout, 1, series="z")
    hour.parent.mkdir(parents=True)
    hour.write_bytes(_newer(CheckedFile(path).readings(), LedgerEntry(SOURCE, 0, 3)))
    with pytest.raises(Halt, match="writer version 3"):
        compactor(layout).run_once(NOW, NOW, flush=True)
    assert _aside(layout) == []


def test_a_segment_damaged_after_it_was_indexed_blocks_only_itself(layout: Layout) -> None:
    paths = [_stage(layout, number) for number in range(3)]
    running = compactor(layout)
    running.run_once(NOW, NOW)
    _flip(paths[1])
    damaged = paths[1].read_bytes()
    report = running.run_once(NOW, NOW, flush=True)
    assert list(report.blocked) == [paths[1]]
    assert {row[1] for row in hour_rows(layout)} == {0, 1, 2, 6, 7, 8}
    assert [path for _, path in layout.staged_files()] == [paths[1]]
    assert paths[1].read_bytes() == damaged


def test_a_segment_damaged_before_a_merge_into_a_run_stays_out_of_the_run(layout: Layout) -> None:
    paths = [_stage(layout, number) for number in range(FAN_IN)]
    running = compactor(layout)
    assert running.staging.refresh()
    _flip(paths[1])
    report = running.run_once(NOW, NOW)
    assert list(report.blocked) == [paths[1]]
    _stage(layout, FAN_IN)
    assert running.run_once(NOW, NOW).runs == 1
    assert [path for name, path in layout.staged_files() if name.level == 0] == [paths[1]]
    assert _aside(layout) == []


def test_a_damaged_ledger_file_blocks_only_the_removal_of_segments(layout: Layout) -> None:
    _stage(layout, 0)
    compactor(layout).run_once(NOW, NOW, flush=True)
    (ledger,) = layout.ledger_files()
    good = ledger.read_bytes()
    _flip(ledger)
    staged = _stage(layout, 1)
    running = compactor(layout)
    report = running.run_once(NOW, NOW, flush=True)
    assert list(report.blocked) == [ledger]
    assert len(hour_rows(layout)) == 6
    assert staged.exists()
    ledger.write_bytes(good)
    assert running.run_once(NOW, NOW).retired == 1
    assert verify(layout, full=True, mark=False).findings == []


def test_a_damaged_hour_file_keeps_its_rows_in_staging_and_no_others(layout: Layout) -> None:
    _stage(layout, 0)
    compactor(layout).run_once(NOW, NOW, flush=True)
    (hour,) = layout.hour_files()
    _flip(hour)
    damaged = hour.read_bytes()
    staged = _stage(layout, 1)
    _stage(layout, 2, series="pressure")
    report = compactor(layout).run_once(NOW, NOW, flush=True)
    assert list(report.blocked) == [hour]
    assert hour.read_bytes() == damaged
    assert [path for _, path in layout.staged_files()] == [staged]
    assert len(layout.hour_files()) == 2


def test_readings_before_1970_are_stored_in_their_own_series_and_hour(layout: Layout) -> None:
    expected = []
    for number, (series, hour) in enumerate([("a", 5), ("b", -1), ("b", -1), ("c", -30_000_000 // 24)]):
        path = _stage(layout, number, hour=hour, series=series)
        expected += rows_of(CheckedFile(path).readings())
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert hour_rows(layout) == sorted(expected, key=repr)
    assert layout.relative(layout.hour_file(SensorHour(Series("press-1", "b"), -1))) == (
        "raw/press-1/1969/12/31/23/b.parquet"
    )
    assert layout.staged_files() == []
    assert verify(layout, full=True, mark=False).findings == []


class FullDisk(PosixSteps):
    """No room from the n-th file on; what fitted stands half written, as on a real disk."""

    def __init__(self, root: Path, files: int) -> None:
        super().__init__(root)
        self.files = files

    def write(self, path: Path, data: "bytes | memoryview") -> None:
        if self.files == 0:
            path.write_bytes(bytes(data)[: len(data) // 2])
            raise OSError(28, "No space left on device")
        self.files -= 1
        super().write(path, data)


def test_a_full_disk_keeps_nothing_aside_and_compaction_goes_on_when_there_is_room(layout: Layout) -> None:
    for number, series in enumerate("abc"):
        _stage(layout, number, series=series)
    steps = FullDisk(layout.root, files=2)
    running = compactor(layout, steps=steps)
    with pytest.raises(DiskFull):
        running.run_once(NOW, NOW, flush=True)
    assert _aside(layout) == []
    steps.files = -1
    running.run_once(NOW, NOW, flush=True)
    assert len(hour_rows(layout)) == 9
    assert layout.staged_files() == []


def test_a_file_without_ledger_entries_is_no_input_of_a_run(tmp_path: Path) -> None:
    """What a repair has read again stands beside runs that answer for it and do not hold it."""
    entry = LedgerEntry(SOURCE, 0, 10, messages=10)
    footers = [
        (
            StagedName(1, "a", number, level),
            tmp_path / str(number),
            Footer(kind="run", rows=1, totals=(), ledger=ledger),
        )
        for number, (level, ledger) in enumerate([(1, (entry,)), (0, (entry,)), (0, ())])
    ]
    assert superseded(footers) == [tmp_path / "1"]
