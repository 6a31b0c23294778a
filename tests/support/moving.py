"""A directory in which every stage goes on while it is asked, and what a question's answer may be at that moment.

Readings come in segments, many of them late, some twice. A thread compacts, aggregates, uploads and cleans up, in
random order, and folds days; what is late brings cold files back. A truth is exact where nothing came while a
question was answered; else a window or an answer lies between what was durable when it began and what had come when
it ended.
"""

import random
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.aggregation.windows import WIDTH, Level
from sensor_storage.clock import ManualClock, SystemClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.model import Series
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Interval, Question, Resolution
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, LATER, SECOND, Reading, readings_at
from support.cold import Plant, fold_all
from support.trees import NOW, stage

SERIES = [Series("press-1", "temperature"), Series("press-1", "force"), Series("hall/1", "flow rate")]
HOURS = 30
SPAN = Interval(DAY, DAY + HOURS * 3600 * SECOND)
MOST = 30_000
_LATE = 0.2
_SEGMENT = 8
_FIRST = 2_000
_RESOLUTIONS: tuple[Resolution, ...] = ("raw", "raw", "minute", "hour", "day")


@dataclass(frozen=True, slots=True)
class Came:
    """Every reading by its offset: series, time and value; the times of a series differ."""

    code: NDArray[np.int64]
    time: NDArray[np.int64]
    value: NDArray[np.float64]

    @classmethod
    def of(cls, seed: int) -> "Came":
        """As many as may come: most of them one after the other through the hours, the others at any time."""
        chance = np.random.default_rng(seed)
        offset = np.arange(MOST)
        ordinary = offset * (HOURS * 3600 // 4_000) % (HOURS * 3600)
        any_time = chance.integers(0, HOURS * 3600, MOST)
        seconds = np.where(chance.random(MOST) < _LATE, any_time, ordinary)
        return cls(
            chance.integers(0, len(SERIES), MOST),
            DAY + seconds * SECOND + offset,
            chance.integers(-1000, 1000, MOST).astype(np.float64),
        )

    def rows(self) -> list[Reading]:
        """The same as readings."""
        columns = zip(self.code.tolist(), self.time.tolist(), self.value.tolist(), strict=True)
        return [Reading(time, value, series=SERIES[code]) for code, time, value in columns]

    def offsets(self, code: int, interval: Interval, came: int) -> NDArray[np.int64]:
        """Of the first so many those of a series in an interval, in order of time."""
        time = self.time[:came]
        mine = np.flatnonzero((self.code[:came] == code) & (time >= interval.start) & (time < interval.end))
        return mine[np.argsort(time[mine])]


@dataclass(frozen=True, slots=True)
class Truth:
    """Of one series: at least the first so many readings are to be found, and at most so many."""

    came: Came
    code: int
    least: int
    most: int

    def offsets(self, interval: Interval) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Those of an interval that are to be found, and those that may be, in order of time."""
        least, most = (self.came.offsets(self.code, interval, count) for count in (self.least, self.most))
        return least, most


@dataclass(slots=True)
class Moving:
    """The directory, how many readings are durable, and how many may be. `rounds` counts what the stages did."""

    root: Path
    seed: int
    came: Came
    durable: int = 0
    begun: int = 0
    rounds: dict[str, int] = field(default_factory=dict)
    failed: list[BaseException] = field(default_factory=list)

    @property
    def layout(self) -> Layout:
        """Its layout."""
        return Layout(self.root / "raw")

    def queries(self) -> Queries:
        """Who asks, as a process of its own would."""
        files = ColdFiles(self.layout, DirectoryStore(self.root / "cold"), SystemClock(), 1_000_000_000)
        return Queries(self.layout, ManualClock(LATER), Limits(0, 0), files=files)

    def go_on(self, stop: Event) -> None:
        """Until told to stop, or all has come."""
        try:
            self._go_on(stop)
        except BaseException as error:  # a thread's errors are the test's
            self.failed.append(error)
            raise

    def _go_on(self, stop: Event) -> None:
        chance, number = random.Random(self.seed), 0
        rows = self.came.rows()
        plant = Plant(self.root, DirectoryStore(self.root / "cold"))
        stages: dict[str, tuple[float, Callable[[], object]]] = {
            "compact": (0.6, lambda: plant.compactor.run_once(NOW + number, NOW + number)),
            "flush": (0.3, plant.compact),
            "aggregate": (0.4, plant.aggregate),
            "upload": (0.2, plant.upload),
            "clean up": (0.1, plant.clean),
            "fold": (0.1, lambda: fold_all(plant)),
        }
        self._stage(rows, number, _FIRST)
        plant.all_stages()
        while not stop.is_set() and self.begun + _SEGMENT < MOST:
            number += 1
            self._stage(rows, number, _SEGMENT, again=chance.choice([0, 0, 0, 5, 60]))
            for name, (often, act) in stages.items():
                if chance.random() < often:
                    act()
                    self.rounds[name] = self.rounds.get(name, 0) + 1
        plant.close()

    def _stage(self, rows: Sequence[Reading], number: int, count: int, *, again: int = 0) -> None:
        """A segment of so many new readings comes, and so many that came before."""
        first, stop = max(0, self.durable - again), self.durable + count
        self.begun = stop
        stage(self.layout, readings_at(rows, range(first, stop)), number=number, start=first, stop=stop)
        self.durable = stop


@contextmanager
def moving(root: Path, seed: int) -> Iterator[Moving]:
    """A directory whose stages go on in a thread, which is often interrupted."""
    plant, stop = Moving(root, seed, Came.of(seed)), Event()
    thread = Thread(target=plant.go_on, args=(stop,))
    before = sys.getswitchinterval()
    sys.setswitchinterval(0.0002)
    thread.start()
    try:
        while plant.durable <= _FIRST and not plant.failed:
            stop.wait(0.01)
        yield plant
    finally:
        stop.set()
        thread.join(60)
        sys.setswitchinterval(before)
    assert not plant.failed


@dataclass(slots=True)
class Asked:
    """What came of some questions: the wrong answers, and how many truths were exact to the reading."""

    wrong: list[str] = field(default_factory=list)
    exact: int = 0
    tiers: dict[str, int] = field(default_factory=dict)


def ask_meanwhile(plant: Moving, queries: int, seed: int) -> Asked:
    """Ask so many random questions, and hold each answer against the truth."""
    chance, done = random.Random(seed), Asked()
    steady = plant.queries()
    for number in range(queries):
        first, last = sorted(chance.sample(range(SPAN.start, SPAN.end, 600 * SECOND), 2))
        code, interval = chance.randrange(len(SERIES)), Interval(first, last)
        level = chance.choice(_RESOLUTIONS)
        asked = Question(
            (SERIES[code].asset,), (SERIES[code].sensor,), interval, level, addresses=level == "raw"
        )
        before = plant.durable
        answer = (steady if chance.random() < 0.9 else plant.queries()).answer(asked)
        table = pa.concat_tables([answer.schema.empty_table(), *answer.tables])
        truth = Truth(plant.came, code, before, plant.begun)
        done.exact += truth.least == truth.most
        for tier, files in answer.sources.tiers.items():
            done.tiers[tier] = done.tiers.get(tier, 0) + files
        held = _readings if level == "raw" else _windows
        if why := held(truth, table, asked) or answer.warnings:
            done.wrong.append(f"{number}: {asked}, {truth.least} to {truth.most} came: {why}")
    return done


def _readings(truth: Truth, table: pa.Table, asked: Question) -> str:
    """Why the raw readings are not the truth; nothing when they are."""
    found = np.array(table["kafka_offset"].to_pylist(), np.int64)
    came = truth.came
    least, most = truth.offsets(asked.interval)
    if len(np.unique(found)) != len(found):
        return "a double"
    if missing := set(least.tolist()) - set(found.tolist()):
        return f"a gap: {sorted(missing)[:5]}"
    if more := set(found.tolist()) - set(most.tolist()):
        return f"never came: {sorted(more)[:5]}"
    time: Any = table["timestamp"].cast(pa.int64())
    if time.to_pylist() != came.time[found].tolist() or np.any(np.diff(came.time[found]) <= 0):
        return "not in order of time"
    return "" if table["value"].to_pylist() == came.value[found].tolist() else "another value"


def _windows(truth: Truth, table: pa.Table, asked: Question) -> str:
    """Why the windows are not the truth; nothing when they are."""
    level: Level = asked.resolution  # type: ignore[assignment]  # not raw
    width = WIDTH[level]
    whole = Interval(asked.interval.start // width * width, -(-asked.interval.end // width) * width)
    least, most = (_expected(truth.came, offsets, width) for offsets in truth.offsets(whole))
    found = {row["window_start"]: row for row in _plain(table)}
    if len(found) != table.num_rows or list(found) != sorted(found):
        return "a window twice, or not in order"
    if not least.keys() <= found.keys() <= most.keys():
        return f"windows {sorted(least.keys() ^ found.keys())[:5]}"
    for start, row in found.items():
        low, high = least.get(start, _NOTHING), most[start]
        if low["count"] == high["count"]:
            if row != high:
                return f"{row} is not {high}"
        elif not low["count"] <= row["count"] <= high["count"]:
            return f"{row['count']} of {low['count']} to {high['count']}"
    return ""


_NAMES = ("window_start", "count", "min", "max", "sum", "first", "last", "first_timestamp", "last_timestamp")
_NOTHING: dict[str, Any] = {"count": 0}


def _plain(table: pa.Table) -> list[dict[str, Any]]:
    """The rows, times as numbers."""
    columns: list[Any] = [
        table[name].cast(pa.int64()) if pa.types.is_timestamp(table.schema.field(name).type) else table[name]
        for name in _NAMES
    ]
    return pa.table(columns, names=list(_NAMES)).to_pylist()


def _expected(came: Came, offsets: NDArray[np.int64], width: int) -> dict[int, dict[str, Any]]:
    """What the windows of these readings, given in order of time, say."""
    time, value = came.time[offsets], came.value[offsets]
    starts, heads = np.unique(time // width * width, return_index=True)
    found = {}
    for start, head, stop in zip(starts.tolist(), heads, [*heads, len(time)][1:], strict=True):
        mine, times = value[head:stop], time[head:stop]
        row = (
            *(start, len(mine), mine.min(), mine.max(), mine.sum(), mine[0], mine[-1]),
            *(int(times[0]), int(times[-1])),
        )
        found[start] = dict(zip(_NAMES, row, strict=True))
    return found
