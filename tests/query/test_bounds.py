"""A question too large is refused before a file is opened, or answered in a steady stream; each has an end."""

import asyncio
import threading
from dataclasses import replace
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from starlette.types import Message

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series
from sensor_storage.query.planner import TooMuch
from sensor_storage.query.queries import Limits, Queries
from sensor_storage.query.question import Asked, Interval, Question
from sensor_storage.query.times import as_text
from sensor_storage.query.watch import TooLate
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, LATER, SECOND, SERIES, Reading, aggregate, arrive
from support.opened import opening
from support.sending import sender

HOURS, HOUR_ROWS = 24, 4_000
SPAN = Interval(DAY, DAY + HOURS * MICROSECONDS_PER_HOUR)
ASKED = {"asset": "*", "start": as_text(SPAN.start), "end": as_text(SPAN.end), "resolution": "raw"}
RAW = Question((SERIES.asset,), (SERIES.sensor,), SPAN, "raw")
NO_LIMITS = Limits(0, 0)


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A day of one sensor, about once a second."""
    layout = Layout(tmp_path_factory.mktemp("data") / "raw")
    step = MICROSECONDS_PER_HOUR // HOUR_ROWS
    arrive(layout, [Reading(DAY + number * step, float(number % 97)) for number in range(HOURS * HOUR_ROWS)])
    aggregate(layout)
    return layout


def _with_a_billion(root: Path) -> Layout:
    """A directory whose catalog knows a billion readings that are not there: ten sensors of about 1 kHz, a day."""
    layout = Layout(root / "raw")
    catalog = Catalog(layout)
    for number in range(10):
        series = Series("press-1", f"sensor_{number}")
        keys = [SensorHour(series, SPAN.hours.start + hour) for hour in range(24)]
        starts = [key.hour * MICROSECONDS_PER_HOUR for key in keys]
        catalog.record(
            HourFile(
                key, layout.hour_file(key), 4_200_000, 1, "", start, start + MICROSECONDS_PER_HOUR - 1, ()
            )
            for key, start in zip(keys, starts, strict=True)
        )
    catalog.close()
    return layout


def test_a_billion_rows_are_refused_before_a_file_is_opened_with_what_to_do(tmp_path: Path) -> None:
    layout = _with_a_billion(tmp_path)
    answer = sender(create_app(layout, ManualClock(LATER)))("GET", "/query", params=ASKED)
    assert (answer.status_code, answer.headers["content-type"]) == (413, "application/problem+json")
    assert "about 1,008,000,000 rows" in answer.json()["detail"]
    assert "export" in answer.json()["hint"]
    with opening(layout.root) as found, pytest.raises(TooMuch):
        Queries(layout, ManualClock(LATER)).answer(replace(RAW, sensors=("*",)))
    assert found.files == {}


def test_an_answer_without_a_limit_is_a_steady_stream_of_one_file_after_the_other(layout: Layout) -> None:
    answer = Queries(layout, ManualClock(LATER), NO_LIMITS).answer(RAW)
    before = pa.total_allocated_bytes()
    largest = rows = 0
    with opening(layout.root) as found:
        for number, table in enumerate(answer.tables, 1):
            assert len(found.files) == number
            rows += table.num_rows
            largest = max(largest, pa.total_allocated_bytes() - before)
    assert rows == HOURS * HOUR_ROWS
    assert largest < rows * 10  # a row takes more than that


@pytest.mark.parametrize("resolution", ["raw", "minute", "hour", "day"])
def test_a_deadline_ends_an_answer_wherever_it_is(layout: Layout, resolution: Asked) -> None:
    clock = ManualClock(LATER)
    answer = Queries(layout, clock).answer(replace(RAW, resolution=resolution))
    clock.advance(59)
    next(answer.tables)
    clock.advance(2)
    if resolution == "raw":
        with pytest.raises(TooLate, match="longer than 60 s") as caught:
            next(answer.tables)
        assert "shorter time" in caught.value.hint
    answer = Queries(layout, clock).answer(replace(RAW, resolution=resolution))
    clock.advance(61)
    with pytest.raises(TooLate):
        next(answer.tables)


class Leaving(ManualClock):
    """A clock by which the client leaves: at so-many-th look of the thread that makes an answer."""

    def __init__(self, at_look: int) -> None:
        super().__init__(LATER)
        self.looks = 0
        self._at_look = at_look
        self._loop = asyncio.get_running_loop()
        self._leave = asyncio.Event()
        self._gone = threading.Event()

    def monotonic(self) -> float:
        if threading.current_thread() is not threading.main_thread():
            self.looks += 1
            if self.looks == self._at_look:
                self._loop.call_soon_threadsafe(self._leave.set)
                assert self._gone.wait(30)
        return super().monotonic()

    async def left(self) -> Message:
        """Waits for the moment; the thread goes on only when the service has heard of it."""
        await self._leave.wait()
        self._loop.call_soon(self._gone.set)
        return {"type": "http.disconnect"}


async def _asked(layout: Layout, clock: Leaving, path: str, **parameters: str) -> list[Message]:
    """What the application sends to a client that leaves."""
    request: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]
    sent: list[Message] = []

    async def receive() -> Message:
        return request.pop() if request else await clock.left()

    async def send(message: Message) -> None:
        sent.append(message)

    words = "&".join(f"{name}={value}" for name, value in parameters.items())
    scope: dict[str, Any] = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": "GET",
        "scheme": "http",
        "path": path,
        "raw_path": path.encode(),
        "query_string": words.encode(),
        "root_path": "",
        "headers": [(b"host", b"127.0.0.1:8080")],
        "client": ("127.0.0.1", 50_000),
        "server": ("127.0.0.1", 8080),
    }
    await create_app(layout, clock)(scope, receive, send)
    return sent


@pytest.mark.parametrize(
    ("form", "at_look", "status"),
    # Parquet's first bytes leave behind its first 200,000 rows: until then an answer can still be refused.
    [("json", 1, 499), ("json", 12, 200), ("parquet", 1, 499), ("parquet", 12, 499)],
)
def test_who_leaves_ends_the_work_before_the_first_byte_and_amid_the_rows(
    layout: Layout, form: str, at_look: int, status: int
) -> None:
    async def run() -> None:
        clock = Leaving(at_look)
        sent = await _asked(layout, clock, "/query", **ASKED, format=form)
        assert clock.looks <= at_look + 2
        assert sent[0]["status"] == status
        if status == 200:
            assert all(message.get("more_body", True) for message in sent)  # cut off, not ended

    asyncio.run(run())


def test_who_leaves_ends_the_work_of_prometheus_read_api_too(layout: Layout) -> None:
    async def run() -> None:
        clock = Leaving(3)
        asked = {"start": str(SPAN.start // SECOND), "end": str(SPAN.end // SECOND), "step": "30"}
        query = "max_over_time(temperature[30s])"
        sent = await _asked(layout, clock, "/prometheus/api/v1/query_range", query=query, **asked)
        assert clock.looks <= 5
        assert sent[0]["status"] == 503

    asyncio.run(run())
