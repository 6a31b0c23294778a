"""What verification must name, and what it must not."""

import random
from collections.abc import Callable
from pathlib import Path
from threading import Event, Thread

import pytest

from sensor_storage.errors import Damaged
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.compact import FAN_IN
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.footers import Footer, totals_of
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile, encode_readings
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.verify import verify
from support.trees import HOUR, NOW, compactor, readings_of, stage, stored_rows

KEY = SensorHour(Series("press-1", "temperature"), HOUR)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    """Thirty wide messages of three readings in hour files, ten more staged."""
    layout = Layout(tmp_path / "data" / "raw")
    for number in range(3):
        stage(
            layout,
            readings_of(range(number * 10, number * 10 + 10), fields=3),
            number=number,
            start=number * 10,
            stop=number * 10 + 10,
        )
    compactor(layout).run_once(NOW, NOW, flush=True)
    stage(layout, readings_of(range(30, 40), fields=3), number=3, start=30, stop=40)
    return layout


def _rewrite(layout: Layout, change: Callable[[Readings], Readings]) -> None:
    """Change the hour file as a program would that knows the format: footer and digest fit."""
    path = layout.hour_file(KEY)
    rows = change(CheckedFile(path).readings())
    footer = Footer(kind="hour", rows=len(rows), totals=totals_of(rows), sensor_hour=KEY)
    Disk(layout.root).publish_bytes(path, encode_readings(rows, footer))


def _words(findings: list[Finding]) -> str:
    return "\n".join(f"{item.kind} {item.where} {item.detail}" for item in findings)


@pytest.mark.parametrize("full", [False, True])
def test_a_sound_tree_has_no_findings(layout: Layout, full: bool) -> None:
    for _ in range(2):
        report = verify(layout, full=full)
        assert report.findings == []
        assert [(item.stored, item.readings, item.missing) for item in report.partitions] == [(40, 120, 0)]


@pytest.mark.parametrize("catalog", [True, False])
@pytest.mark.parametrize("full", [False, True])
def test_a_reading_taken_out_of_its_hour_file_is_named(layout: Layout, catalog: bool, full: bool) -> None:
    verify(layout)
    lost = int(CheckedFile(layout.hour_file(KEY)).readings().offset[4])
    _rewrite(layout, lambda rows: Readings.concat([rows.slice(0, 4), rows.slice(5, len(rows))]))
    if not catalog:
        layout.catalog.unlink()
    found = _words(verify(layout, full=full).findings)
    assert "missing" in found
    assert f"sensor-data-a/0@{lost}" in found
    assert not catalog or "raw/press-1/2024/01/01/00/temperature.parquet" in found


@pytest.mark.parametrize("full", [False, True])
def test_a_row_doubled_is_named(layout: Layout, full: bool) -> None:
    verify(layout)
    _rewrite(layout, lambda rows: Readings.concat([rows, rows.slice(3, 4)]).sorted())
    found = _words(verify(layout, full=full).findings)
    assert "double" in found
    assert "raw/press-1/2024/01/01/00/temperature.parquet" in found


@pytest.mark.parametrize("catalog", [True, False])
def test_a_file_exchanged_for_an_older_copy_is_named(layout: Layout, catalog: bool) -> None:
    path = layout.hour_file(KEY)
    older = path.read_bytes()
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert verify(layout).findings == []
    path.write_bytes(older)
    if not catalog:
        layout.catalog.unlink()
    found = _words(verify(layout).findings)
    assert "missing" in found
    assert "sensor-data-a/0@3" in found
    assert not catalog or "temperature.parquet" in found


@pytest.mark.parametrize("kind", ["segment", "run", "hour", "ledger"])
def test_one_bit_flipped_anywhere_is_named_and_the_file_is_never_taken_for_good(
    layout: Layout, kind: str
) -> None:
    if kind == "run":
        worker = compactor(layout, flush_interval=1e9)
        worker.run_once(NOW, NOW)
        for number in range(4, 4 + FAN_IN):
            stage(
                layout,
                readings_of(range(number * 10, number * 10 + 10), fields=3),
                number=number,
                start=number * 10,
                stop=number * 10 + 10,
            )
        worker.run_once(NOW, NOW)
    else:
        stage(layout, readings_of(range(40, 50), fields=3), number=4, start=40, stop=50)
    path = {
        "segment": lambda: layout.staged_files()[-1][1],
        "run": lambda: next(path for name, path in layout.staged_files() if name.level == 1),
        "hour": lambda: layout.hour_file(KEY),
        "ledger": lambda: layout.ledger_files()[0],
    }[kind]()
    sound = path.read_bytes()
    chance = random.Random(7)
    places = [*(chance.randrange(len(sound)) for _ in range(20)), len(sound) - 1, len(sound) - 6, 0]
    for place in places:
        broken = bytearray(sound)
        broken[place] ^= 1 << chance.randrange(8)
        path.write_bytes(broken)
        with pytest.raises(Damaged):
            CheckedFile(path)
        findings = verify(layout, mark=False, full=True).findings
        assert any(item.kind == "damaged" and item.where == layout.relative(path) for item in findings), place
    path.write_bytes(sound)
    assert verify(layout, full=True).findings == []


def test_a_damaged_file_blocks_only_itself_and_nothing_is_overwritten(layout: Layout) -> None:
    path = layout.hour_file(KEY)
    sound = path.read_bytes()
    broken = sound[:-20] + bytes([sound[-20] ^ 1]) + sound[-19:]
    path.write_bytes(broken)
    report = compactor(layout).run_once(NOW, NOW, flush=True)
    assert list(report.blocked) == [path]
    assert path.read_bytes() == broken
    assert len(layout.staged_files()) == 1
    path.write_bytes(sound)
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert verify(layout, full=True).findings == []
    assert layout.staged_files() == []


def test_what_a_crash_leaves_twice_is_no_finding(layout: Layout) -> None:
    name, path = layout.staged_files()[0]
    segment = path.read_bytes()
    expected = stored_rows(layout)
    compactor(layout).run_once(NOW, NOW, flush=True)
    layout.staged(name).write_bytes(segment)
    assert verify(layout, full=True).findings == []
    assert stored_rows(layout) == expected


def test_compaction_meanwhile_causes_no_false_alarm(layout: Layout) -> None:
    done = Event()

    def compact() -> None:
        worker = compactor(layout)
        for number in range(4, 40):
            stage(
                layout,
                readings_of(range(number * 10, number * 10 + 10), fields=3),
                number=number,
                start=number * 10,
                stop=number * 10 + 10,
            )
            worker.run_once(NOW, NOW, flush=number % 3 == 0)
        done.set()

    thread = Thread(target=compact)
    thread.start()
    while not done.is_set():
        assert verify(layout, mark=False).findings == []
    thread.join()
    assert verify(layout, full=True).findings == []
