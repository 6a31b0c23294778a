"""Queries while the stages run: never a gap, never a double, at whatever step either of them is."""

import random
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from threading import Event, Semaphore, Thread

import pyarrow as pa
import pytest

from sensor_storage.aggregation.windows import LEVELS
from sensor_storage.clock import ManualClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.query.staged import StagedView
from sensor_storage.storage.compact import FAN_IN
from sensor_storage.storage.durable import PosixSteps
from sensor_storage.storage.layout import Layout, StagedName
from support.cold import Plant
from support.moving import ask_meanwhile, moving
from support.trees import HOUR, NOW, compactor, readings_of, stage

SERIES = [Series("press-1", "temperature"), Series("press-1", "state"), Series("pump", "flow")]
SPAN = Interval(HOUR * MICROSECONDS_PER_HOUR, (HOUR + 3) * MICROSECONDS_PER_HOUR)
EVERYTHING = Question(("*",), ("*",), SPAN, "raw", addresses=True)


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data" / "raw")


def _stage(layout: Layout, number: int, rows: int = 12) -> None:
    """A segment of its own offsets, over three hours and all sensors."""
    first = number * rows
    readings = readings_of(
        range(first, first + rows), series=SERIES, hour=HOUR + number % 3, spread_seconds=7
    )
    stage(layout, readings, number=number, start=first, stop=first + rows)


def _offsets(queries: Queries, question: Question = EVERYTHING) -> list[int]:
    answer = queries.answer(question)
    assert answer.warnings == []
    return _read(answer.tables)


def _read(tables: Iterator[pa.Table]) -> list[int]:
    return sorted(int(str(offset)) for table in tables for offset in table["kafka_offset"].to_pylist())


class Gated(PosixSteps):
    """Durable steps that tell somebody before each change of names."""

    def __init__(self, root: Path, before: Callable[[], None]) -> None:
        super().__init__(root)
        self._before = before

    def rename(self, source: Path, target: Path) -> None:
        self._before()
        super().rename(source, target)

    def unlink(self, path: Path) -> None:
        self._before()
        super().unlink(path)


def test_between_any_two_steps_of_compaction_a_query_sees_every_reading_once(layout: Layout) -> None:
    """Staging is held before one step and hour files are opened before any later one: every pair of steps."""
    segments = 2 * FAN_IN + 3
    for number in range(segments):
        _stage(layout, number)
    expected = list(range(segments * 12))
    begun: list[Iterator[pa.Table]] = []
    steps = 0

    def look() -> None:
        nonlocal steps
        steps += 1
        assert _offsets(Queries(layout, ManualClock())) == expected
        begun.append(Queries(layout, ManualClock()).answer(EVERYTHING).tables)

    running = compactor(layout, steps=Gated(layout.root, look))
    running.run_once(NOW, NOW)  # runs
    running.run_once(NOW + 100, NOW)  # hour files
    _stage(layout, segments)
    expected += range(segments * 12, segments * 12 + 12)
    running.run_once(NOW + 200, NOW, flush=True)
    assert steps > 40
    assert layout.staged_files() == []
    for tables in begun:
        found = _read(tables)
        assert found in (expected, expected[:-12])


class Interleaved(Layout):
    """A directory in which the stages go on at each point where a query looks at it."""

    def __init__(self, raw: Path, go_on: Callable[[], None]) -> None:
        super().__init__(raw)
        self._go_on = go_on

    @property
    def catalog(self) -> Path:
        self._go_on()
        return self._catalog

    @catalog.setter
    def catalog(self, path: Path) -> None:
        self._catalog = path

    def staged_files(self) -> list[tuple[StagedName, Path]]:
        """Not one instant: names of the first half as they were before those of the second."""
        first = super().staged_files()
        cut = first[len(first) // 2][0] if first else None
        self._go_on()
        second = super().staged_files()
        self._go_on()
        if cut is None:
            return second
        return [one for one in first if one[0] < cut] + [one for one in second if one[0] >= cut]

    def hour_file(self, key: SensorHour) -> Path:
        self._go_on()
        return super().hour_file(key)

    def day_folder(self, tree: Path, asset: str, start: datetime) -> Path:
        self._go_on()
        return super().day_folder(tree, asset, start)

    def aggregate_file(self, series: Series, level: str, start: datetime) -> Path:
        self._go_on()
        return super().aggregate_file(series, level, start)


@contextmanager
def _stepwise(layout: Layout, work: Callable[[PosixSteps], None]) -> Iterator[Callable[[int], None]]:
    """Work on a thread of its own that makes so many durable steps as it is let to, and then waits."""
    may, waits, ended = Semaphore(0), Semaphore(0), Event()

    def gate() -> None:
        waits.release()
        may.acquire()

    def run() -> None:
        try:
            work(Gated(layout.root, gate))
        finally:
            ended.set()
            waits.release()

    thread = Thread(target=run)
    thread.start()
    waits.acquire()

    def advance(steps: int) -> None:
        for _ in range(steps):
            if ended.is_set():
                return
            may.release()
            waits.acquire()

    try:
        yield advance
    finally:
        while not ended.is_set():
            advance(1)
        thread.join(30)


@pytest.mark.parametrize("seed", range(12))
def test_compaction_that_goes_on_within_a_query_opens_no_gap_and_doubles_nothing(
    layout: Layout, seed: int
) -> None:
    chance = random.Random(seed)
    segments = FAN_IN * 2 + 1
    for number in range(segments):
        _stage(layout, number, rows=6)
    expected = list(range(segments * 6))

    def work(steps: PosixSteps) -> None:
        running = compactor(layout, steps=steps)
        for seconds in range(6):
            running.run_once(NOW + 61 * seconds, NOW)
        running.run_once(NOW + 1000, NOW, flush=True)

    with _stepwise(layout, work) as advance:
        moved = Interleaved(layout.raw, lambda: advance(chance.choice([0, 0, 0, 1, 2, 20])))
        queries = Queries(moved, ManualClock())
        for _ in range(6):
            assert _offsets(queries) == expected
    assert _offsets(queries) == expected
    assert layout.staged_files() == []


@pytest.mark.parametrize("seed", range(12))
def test_files_that_go_to_the_cold_store_and_come_back_within_a_query_are_missed_by_none(
    layout: Layout, seed: int
) -> None:
    """Late readings bring each hour's file back; then it is united, aggregated, uploaded and removed again."""
    chance = random.Random(seed)
    store = DirectoryStore(layout.root / "cold")
    begun = 3
    for number in range(begun):
        _stage(layout, number)
    durable = begun

    def work(steps: PosixSteps) -> None:
        nonlocal begun, durable
        with closing(Plant(layout.root, store, steps=steps)) as plant:
            for _ in range(4):
                plant.all_stages()
                plant.clean()
                begun += 1
                _stage(layout, durable)
                durable = begun

    files = ColdFiles(layout, store, ManualClock(), 1_000_000_000)
    with _stepwise(layout, work) as advance:
        moved = Interleaved(layout.raw, lambda: advance(chance.choice([0, 0, 0, 1, 2, 5])))
        queries = Queries(moved, ManualClock(), Limits(0, 0), files=files)
        while durable < 7:
            least = durable
            raw = _offsets(queries)
            assert len(raw) == len(set(raw))
            assert {*range(least * 12)} <= {*raw} <= {*range(begun * 12)}
            least = durable
            windows = queries.answer(replace(EVERYTHING, resolution=chance.choice(LEVELS), addresses=False))
            kinds = ("count", "bad_count", "null_count", "other_unit_count", "text_count")
            counted = sum(
                row[kind] for table in windows.tables for row in table.to_pylist() for kind in kinds
            )
            assert least * 12 <= counted <= begun * 12
            advance(chance.randrange(40))


def test_random_queries_equal_the_truth_of_their_moment_while_every_stage_runs(tmp_path: Path) -> None:
    """Ten thousand of them: `make proof-queries`."""
    with moving(tmp_path, seed=1) as plant:
        done = ask_meanwhile(plant, 250, seed=1)
        while not plant.rounds.keys() >= {"compact", "flush", "aggregate", "upload", "clean up", "fold"}:
            done.wrong += ask_meanwhile(plant, 25, seed=2).wrong
    assert done.wrong == []
    assert done.tiers["cloud"] > 0
    assert 0 < done.exact < 250


def test_staged_sensors_are_listed_in_order_and_not_again_while_they_are_the_same(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    names = [Series(f"press-{number % 7}", f"s{number}") for number in range(40)]
    view = StagedView(layout)
    assert view.hold().series() == []
    stage(layout, readings_of(range(80), series=names[:30]), number=0, start=0, stop=80)
    first = view.hold().series()
    assert first == sorted(names[:30])
    stage(layout, readings_of(range(80, 100), series=names[:30]), number=1, start=80, stop=100)
    assert view.hold().series() is first
    stage(layout, readings_of(range(100, 140), series=names), number=2, start=100, stop=140)
    assert view.hold().series() == sorted(names)
