"""The page's figures, in a real Chromium with software rendering on this machine.

`PYTHONPATH=tests python benchmarks/page.py`. Over a made plant of ten sensors that speak twice a second: `first`
paint and chart of a fresh browser (milliseconds), `weight` (compressed bytes of all files), `redraw` (frames a
second of ten pens of two thousand points), `zoom` (milliseconds from the key to the new data drawn), `heap`
(megabytes in use of a live page, hour by hour, its clock pushed on), and with `--sensors N` what lists and a search
take among so many.
"""

import argparse
import gzip
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any
from urllib.request import urlopen

import numpy as np
from playwright.sync_api import Browser, Page

from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND, Reading, aggregate, arrive
from support.browser import Served, chromium

ROOT = Path(__file__).parents[1]
PAGE = ROOT / "src" / "sensor_storage" / "page"
HOUR_SECONDS = 3600
PENS = "&".join(f"pen=press-1/s{number}" for number in range(10))
FRAMES = """
async (seconds) => {
  const chart = document.querySelector('.chart');
  let frames = 0;
  const until = performance.now() + seconds * 1000;
  while (performance.now() < until) {
    chart.redraw();
    await new Promise(requestAnimationFrame);
    frames += 1;
  }
  return frames / seconds;
}
"""


def main() -> int:
    """Measure each; a line of JSON each."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--zooms", type=int, default=60)
    parser.add_argument("--hours", type=int, default=6)
    parser.add_argument("--sensors", type=int, default=0)
    chosen = parser.parse_args()
    weight = sum(
        len(gzip.compress(path.read_bytes())) for path in PAGE.iterdir() if path.name != "sources.json"
    )
    _tell("weight", compressed_bytes=weight)
    with tempfile.TemporaryDirectory() as folder, chromium() as browser:
        layout = Layout(Path(folder) / "raw")
        arrive(layout, list(_plant()))
        aggregate(layout)
        with _serving(layout) as url:
            _first(browser, url)
            _redraw(browser, url)
            _zoom(browser, url, chosen.zooms)
            _heap(browser, url, chosen.hours)
    if chosen.sensors:
        with tempfile.TemporaryDirectory() as folder:
            _many(Layout(Path(folder) / "raw"), chosen.sensors)
    return 0


def _plant() -> Iterator[Reading]:
    """Ten sensors over two hours, each at moments of its own."""
    chance = np.random.default_rng(1)
    for number in range(10):
        series = Series("press-1", f"s{number}")
        level = 50 + np.cumsum(chance.normal(0, 0.1, 2 * HOUR_SECONDS * 2))
        for place, value in enumerate(level):
            yield Reading(DAY + place * SECOND // 2 + number * 7_000, float(value), series=series)


def _window(start: int, seconds: int, pens: str = PENS) -> str:
    first, last = (
        time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(DAY / SECOND + one))
        for one in (start, start + seconds)
    )
    return f"/explore?{pens}&from={first}&to={last}&tz=UTC"


def _first(browser: Browser, url: str) -> None:
    """Each time a context of its own: nothing is in its cache."""
    paints, charts = [], []
    for _ in range(10):
        page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
        page.goto(url + _window(0, HOUR_SECONDS))
        page.locator(".note", has_text=" points ").wait_for()
        charts.append(page.evaluate("performance.now()"))
        paints.append(page.evaluate("performance.getEntriesByName('first-contentful-paint')[0].startTime"))
        page.context.close()
    _tell("first", paint_ms=_of(paints), chart_of_ten_pens_ms=_of(charts))


def _redraw(browser: Browser, url: str) -> None:
    page = _open(browser, url + _window(0, 1000) + "&resolution=raw")
    drawn = page.evaluate(
        "document.querySelector('.chart').drawn().flatMap(l => l.pens.map(p => p.line.points))"
    )
    _tell("redraw", points=drawn, frames_a_second=round(page.evaluate(FRAMES, 5), 1))
    page.context.close()


def _zoom(browser: Browser, url: str, zooms: int) -> None:
    """In and out and to the side, one pen: each answer is other than the one before."""
    page = _open(browser, url + _window(1800, HOUR_SECONDS, "pen=press-1/s0"))
    taken = []
    for number in range(zooms):
        key = ("+", "ArrowRight", "-", "ArrowLeft")[number % 4]
        taken.append(
            page.evaluate(
                """async (key) => {
                  const chart = document.querySelector('.chart');
                  const before = chart.drawn()[0]?.pens[0]?.line;
                  const began = performance.now();
                  document.body.dispatchEvent(new KeyboardEvent('keydown', { key, bubbles: true }));
                  while (chart.drawn()[0]?.pens[0]?.line === before) await new Promise(requestAnimationFrame);
                  return performance.now() - began;
                }""",
                key,
            )
        )
    _tell("zoom", new_data_ms=_of(taken))
    page.context.close()


def _heap(browser: Browser, url: str, hours: int) -> None:
    """A live page whose timers are pushed on; the heap is looked at after each hour, collected."""
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.clock.install(time=DAY / SECOND + HOUR_SECONDS)
    page.goto(url + f"/explore?{PENS}&live=1h&tz=UTC")
    page.clock.run_for(1000)
    link = page.context.new_cdp_session(page)
    used = []
    for _ in range(hours + 1):
        link.send("HeapProfiler.collectGarbage")
        used.append(round(link.send("Runtime.getHeapUsage")["usedSize"] / 1e6, 2))
        for _ in range(HOUR_SECONDS // 30):
            page.clock.fast_forward(30_000)
            page.wait_for_timeout(60)
    _tell("heap", megabytes_by_hour=used, answers_an_hour=HOUR_SECONDS // 30)
    page.context.close()


def _many(layout: Layout, sensors: int) -> None:
    """A catalog of so many sensors, a hundred an asset; the files themselves need not be there for their names."""
    with closing(Catalog(layout)) as catalog:
        catalog.record(
            HourFile(
                key=SensorHour(Series(f"asset-{number // 100:05}", f"sensor-{number % 100:02}"), 473_352),
                path=layout.raw,
                rows=1,
                size_bytes=1,
                digest="",
                first_timestamp=DAY,
                last_timestamp=DAY,
                totals=(),
            )
            for number in range(sensors)
        )
    with _serving(layout) as url:
        last = f"asset-{(sensors - 1) // 100:05}"
        for name, path in (
            ("assets", "/assets?limit=10000"),
            ("page of latest", "/latest?limit=100"),
            ("found by asset and sensor", f"/latest?asset={last}&contains={last}+sensor-99&limit=30"),
            ("found by nothing", "/latest?contains=nowhere&limit=30"),
        ):
            began = time.perf_counter()
            with urlopen(url + path, timeout=60) as answer:
                size = len(answer.read())
            _tell(name, sensors=sensors, ms=round((time.perf_counter() - began) * 1000), bytes=size)


def _open(browser: Browser, address: str) -> Page:
    page = browser.new_context(viewport={"width": 1280, "height": 800}).new_page()
    page.goto(address)
    page.locator(".note", has_text=" points ").wait_for()
    return page


@contextmanager
def _serving(layout: Layout) -> Iterator[str]:
    server = Served(layout)
    server.start()
    try:
        yield server.url
    finally:
        server.end()


def _of(times: list[float]) -> dict[str, int]:
    ordered = sorted(times)
    return {
        "median": round(statistics.median(ordered)),
        "p95": round(ordered[int(len(ordered) * 0.95)]),
        "most": round(ordered[-1]),
    }


def _tell(name: str, **figures: Any) -> None:  # noqa: ANN401 - figures
    print(json.dumps({"measured": name, **figures}), flush=True)


if __name__ == "__main__":
    sys.exit(main())
