"""Queries while compaction runs: never a gap, never a double, at whatever step either of them is."""

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Semaphore, Thread

import pyarrow as pa
import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.queries import Queries
from sensor_storage.query.question import Interval, Question
from sensor_storage.storage.compact import FAN_IN
from sensor_storage.storage.durable import PosixSteps
from sensor_storage.storage.layout import Layout, StagedName
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
    """A directory in which compaction goes on at each point where a query looks at it."""

    def __init__(self, raw: Path, go_on: Callable[[], None]) -> None:
        super().__init__(raw)
        self._go_on = go_on

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


@contextmanager
def _stepwise(layout: Layout) -> Iterator[Callable[[int], None]]:
    """Compaction on a thread of its own that makes so many steps as it is let to, and then waits."""
    may, waits, ended = Semaphore(0), Semaphore(0), Event()

    def gate() -> None:
        waits.release()
        may.acquire()

    def compact() -> None:
        try:
            running = compactor(layout, steps=Gated(layout.root, gate))
            for seconds in range(6):
                running.run_once(NOW + 61 * seconds, NOW)
            running.run_once(NOW + 1000, NOW, flush=True)
        finally:
            ended.set()
            waits.release()

    thread = Thread(target=compact)
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
    with _stepwise(layout) as advance:
        moved = Interleaved(layout.raw, lambda: advance(chance.choice([0, 0, 0, 1, 2, 20])))
        queries = Queries(moved, ManualClock())
        for _ in range(6):
            assert _offsets(queries) == expected
    assert _offsets(queries) == expected
    assert layout.staged_files() == []


def test_random_queries_beside_real_compaction_equal_the_truth_at_that_moment(layout: Layout) -> None:
    assert wrong_answers(layout, queries=150, seed=1) == []


def wrong_answers(layout: Layout, *, queries: int, seed: int) -> list[str]:
    """Ask at random while segments come and compaction runs; every answer that is not the truth of its moment."""
    chance = random.Random(seed)
    staged, stop = 0, Event()
    _stage(layout, 0)
    staged = 1

    def work() -> None:
        nonlocal staged
        running = compactor(layout, flush_interval=0.5)
        seconds = 0.0
        while not stop.is_set():
            _stage(layout, staged)
            staged += 1
            seconds += 0.2
            running.run_once(NOW + staged / 1000 + seconds, NOW)
        running.run_once(NOW + seconds + 9999, NOW, flush=True)

    thread = Thread(target=work)
    thread.start()
    asked = Queries(layout, ManualClock())
    wrong = []
    try:
        for _ in range(queries):
            first, last = sorted(chance.sample(range(SPAN.start, SPAN.end, 60_000_000), 2))
            series = chance.choice(SERIES)
            before = staged
            found = _offsets(
                asked,
                Question((series.asset,), (series.sensor,), Interval(first, last), "raw", addresses=True),
            )
            least, most = (
                [one for one in range(count * 12) if _matches(one, series, first, last)]
                for count in (before, staged + 1)
            )
            if found != sorted(set(found)) or not set(least) <= set(found) <= set(most):
                wrong.append(f"{series} {first} {last}: {len(found)} of {len(least)} to {len(most)}")
    finally:
        stop.set()
        thread.join(60)
    return wrong


def _matches(offset: int, series: Series, first: int, last: int) -> bool:
    hour = HOUR + offset // 12 % 3
    time = hour * MICROSECONDS_PER_HOUR + offset * 7 * 1_000_000 % MICROSECONDS_PER_HOUR
    return SERIES[offset % 3] == series and first <= time < last
