"""What people do with the page, in a real browser: each test is one story."""

import io
import json
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pyarrow.parquet as pq
import pytest
from playwright.sync_api import Page, Route, expect

from sensor_storage.api.keys import KeyRing, line_of, new_key
from sensor_storage.clock import SystemClock
from sensor_storage.model import Series
from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND
from support.browser import Served, Visit, faults_for_a_screen_reader
from support.samples import dead_letter, keep_dead_letters, stage_readings
from support.troubled import MARKUP, SILENT, SPIKE_AT

CHART = "document.querySelector('.chart').drawn()"
HOUR = 3600 * SECOND


def _address(*pens: str, start: int = DAY, seconds: int = 3600, more: str = "") -> str:
    pen = "&".join(f"pen={pen}" for pen in pens or ("press-1/temperature",))
    return f"/explore?{pen}&from={as_text(start)}&to={as_text(start + seconds * SECOND)}&tz=UTC{more}"


def _lines(page: Page) -> list[dict[str, Any]]:
    expect(page.locator(".note").filter(has_text=" points ")).to_be_visible()
    found: list[dict[str, Any]] = page.evaluate(f"{CHART}.flatMap(lane => lane.pens.map(pen => pen.line))")
    return found


def _rows(served: Served, **parameters: str | int) -> list[dict[str, Any]]:
    query = urllib.parse.urlencode({"asset": "press-1", "sensor": "temperature", **parameters})
    with urllib.request.urlopen(f"{served.url}/query?{query}") as answer:
        found: list[dict[str, Any]] = json.loads(answer.read())["rows"]
        return found


def _press(page: Page, share: float) -> None:
    """Press on the first lane, so far from its left."""
    box = page.locator(".u-over").first.bounding_box()
    assert box
    page.mouse.click(box["x"] + box["width"] * share, box["y"] + box["height"] / 2)


def test_a_point_tells_its_message_and_gives_the_file_that_holds_it(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address())
    _lines(page)
    _press(page, 0.5)
    panel = page.get_by_role("complementary", name="The chosen point")
    expect(panel.locator("code", has_text="sensor-data-a/0@")).to_be_visible()
    expect(panel.locator("code", has_text="raw/press-1/2024/01/01/00/temperature.parquet")).to_be_visible()
    expect(panel).to_contain_text("none: the cold store has not proven to have this content")
    message = panel.locator("code").first.inner_text()
    with page.expect_download() as saved:
        panel.get_by_role("button", name="Download this Parquet file").click()
    table = pq.read_table(io.BytesIO(Path(saved.value.path()).read_bytes()))
    assert int(message.partition("@")[2]) in table["kafka_offset"].to_pylist()
    page.keyboard.press("Escape")
    expect(panel).to_be_hidden()


def test_by_keys_alone_one_gets_to_a_points_origin(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address())
    _lines(page)
    for key in (".", ".", ".", ",", "Enter"):
        page.keyboard.press(key)
    panel = page.get_by_role("complementary", name="The chosen point")
    expect(panel.locator("code", has_text="sensor-data-a/0@2")).to_be_visible()


def test_two_cursors_give_the_difference_and_stay_in_the_link(visit: Visit, served: Served) -> None:
    page = visit.page
    marks = f"&a={as_text(DAY + 100 * SECOND)}&b={as_text(DAY + 205 * SECOND)}"
    page.goto(served.url + _address(more=marks))
    _lines(page)
    cells = page.locator("#stage tbody tr").first.locator("td")
    expect(cells.nth(2)).to_have_text("10")  # a reading every ten seconds counts seconds / 10
    expect(cells.nth(3)).to_have_text("20")
    expect(cells.nth(4)).to_have_text("10")
    box = page.locator(".u-over").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.9, box["y"] + 30)
    page.keyboard.press("b")
    expect(cells.nth(3)).not_to_have_text("20")
    given = parse_qs(urlsplit(page.url).query)
    assert given["a"] == ["2024-01-01T00:01:40.000Z"]
    assert given["b"][0] > "2024-01-01T00:50"
    page.keyboard.press("x")
    expect(page.get_by_role("columnheader", name="Δ")).to_have_count(0)


def test_the_day_before_laid_over_is_what_the_day_before_was(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address(start=DAY + 86_400 * SECOND, more="&shift=1d&resolution=minute"))
    now, before = _lines(page)
    day = {"start": as_text(DAY), "end": as_text(DAY + HOUR), "resolution": "minute"}
    assert before["mean"] == [row["mean"] for row in _rows(served, **day)]
    assert before["times"] == now["times"]
    expect(page.locator(".note")).to_contain_text("dashed: the day before")


def test_statistics_of_the_visible_range_are_those_of_its_readings(visit: Visit, served: Served) -> None:
    page = visit.page
    span = (DAY + 69_000 * SECOND, DAY + 72_000 * SECOND)
    page.goto(served.url + _address(start=span[0], seconds=3000))
    (line,) = _lines(page)
    rows = _rows(served, start=as_text(span[0]), end=as_text(span[1]), resolution="raw")
    good = [row["value"] for row in rows if row["quality"] == "good"]
    told = line["statistics"]
    assert (told["count"], told["min"], told["max"]) == (len(good), min(good), max(good))
    assert told["mean"] == pytest.approx(sum(good) / len(good))
    assert told["good"] == pytest.approx(len(good) / len(rows)) != 1
    page.goto(served.url + _address(start=span[0], seconds=3000, more="&resolution=minute"))
    (windows,) = _lines(page)
    assert windows["statistics"]["mean"] == pytest.approx(told["mean"])
    assert windows["statistics"]["weighted"] == pytest.approx(told["weighted"], rel=0.005)


def test_the_note_says_which_tier_answered_and_how_fast(visit: Visit, served: Served) -> None:
    visit.page.goto(served.url + _address())
    (line,) = _lines(visit.page)
    assert (line["tiers"]["local"], line["tiers"]["cloud"], line["tiers"]["staging"]) == (1, 0, 0)
    expect(visit.page.locator(".note")).to_contain_text("local answered in ")


def test_what_is_copied_runs_and_gives_the_chart(visit: Visit, served: Served) -> None:
    page = visit.page
    page.context.grant_permissions(["clipboard-read", "clipboard-write"])
    page.goto(served.url + _address(more="&resolution=raw"))
    (line,) = _lines(page)

    def copied(name: str) -> str:
        page.locator("summary", has_text="Export").click()
        page.get_by_role("button", name=f"Copy as {name}", exact=True).click()
        expect(page.locator(".note")).to_contain_text(f"Copied as {name}")
        text: str = page.evaluate("navigator.clipboard.readText()")
        return text

    curl = subprocess.run(["/bin/sh", "-c", copied("curl")], capture_output=True, text=True, check=True)
    assert len(curl.stdout.splitlines()) == line["points"] + 1
    for form in ("Python", "polars", "DuckDB"):
        done = subprocess.run(
            [sys.executable, "-c", copied(form)], capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, (form, done.stderr)
        assert "temperature" in done.stdout, form
    program = [sys.executable, "-m", "sensor_storage", *copied("command line").split()[1:], "--json"]
    done = subprocess.run(["/bin/sh", "-c", " ".join(program)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    expression = copied("Grafana").replace("$__interval", "1h")
    assert expression == 'max_over_time({"temperature", asset_id="press-1"}[1h])'
    asked = urllib.parse.urlencode({"query": expression, "time": (DAY + HOUR) // SECOND})
    with urllib.request.urlopen(f"{served.url}/prometheus/api/v1/query?{asked}") as answer:
        (series,) = json.loads(answer.read())["data"]["result"]
    assert float(series["value"][1]) == line["statistics"]["max"]


def test_a_slow_answer_is_waited_for_in_the_open_and_can_be_cancelled(visit: Visit, served: Served) -> None:
    page, held = visit.page, list[Route]()
    page.clock.install()
    page.route("**/query?*", lambda route: held.append(route))  # noqa: PLW0108 - no builtin
    page.goto(served.url + _address())
    expect(page.get_by_text("Loading readings")).to_be_visible()
    page.clock.run_for(10_000)
    expect(page.get_by_text("The service works on it for 10 s")).to_be_visible()
    page.get_by_role("button", name="Cancel").click()
    expect(page.get_by_text("The question was cancelled")).to_be_visible()
    page.unroute("**/query?*")
    page.get_by_role("button", name="Ask again").click()
    assert _lines(page)[0]["points"] == 360
    expect(page.get_by_text("The service works on it")).to_have_count(0)


@pytest.fixture
def guarded(served: Served, tmp_path: Path) -> Iterator[tuple[Served, Path, str]]:
    """The same plant behind keys: the server, the file of keys, and a key that may read."""
    reader, file = new_key(), tmp_path / "keys"
    file.write_text(f"{line_of('page', 'read', reader)}\n{line_of('other', 'admin', new_key())}\n")
    server = Served(served._layout, KeyRing(SystemClock(), path=file))
    server.start()
    yield server, file, reader
    server.end()


def test_the_page_asks_for_a_key_and_for_another_when_that_one_has_expired(
    visit: Visit, guarded: tuple[Served, Path, str]
) -> None:
    server, file, reader = guarded
    page = visit.page
    page.goto(server.url + _address())
    expect(page.get_by_text("This service asks for an API key.")).to_be_visible()
    page.locator("#key").fill(reader)
    page.get_by_role("button", name="Use this key").click()
    assert _lines(page)[0]["points"] == 360
    expect(page.locator("#key")).to_be_hidden()
    assert reader not in page.url
    with page.expect_download() as csv:
        page.get_by_role("button", name="CSV").click()
    assert len(Path(csv.value.path()).read_text().splitlines()) == 361
    page.keyboard.press("3")
    page.get_by_role("button", name="Flush").click()
    expect(page.get_by_text("This key may only read")).to_be_visible()
    other = new_key()
    file.write_text(f"{line_of('page', 'read', other)}\n")
    expect(page.get_by_text("is not valid, or not any more")).to_be_visible(timeout=15_000)
    page.locator("#key").fill(other)
    page.get_by_role("button", name="Use this key").click()
    expect(page.get_by_text("The street")).to_be_visible()
    expect(page.locator("#key")).to_be_hidden()
    assert all("401" in one or "403" in one for one in visit.errors), visit.errors
    visit.errors.clear()  # the browser reports each answer that was no


def test_dead_letters_show_reason_and_payload_as_text(visit: Visit, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    payload = json.dumps({"asset_id": MARKUP, "value": [1, {"deep": True}]}).encode()
    keep_dead_letters(
        layout, [dead_letter(offset, value=payload, reason="no_reading") for offset in range(30)]
    )
    keep_dead_letters(layout, [dead_letter(99, value=b"\xff\x00", reason="not_utf8")], number=1)
    server = Served(layout)
    server.start()
    try:
        page = visit.page
        page.goto(f"{server.url}/explore?tab=files")
        letters = page.get_by_role("group", name="Dead letters").locator("tbody tr")
        expect(letters).to_have_count(25)
        expect(letters.first).to_contain_text("sensor-data-a/0@99")
        expect(letters.first).to_contain_text("as base64")
        page.get_by_role("button", name="Older ones").click()
        expect(letters).to_have_count(31)
        page.locator("#reason").select_option("no_reading")
        expect(letters).to_have_count(25)
        letters.first.locator("summary").click()
        expect(letters.first.locator("pre")).to_contain_text('"deep": true')
        expect(letters.first.locator("pre")).to_contain_text(MARKUP)
        assert page.locator("#stage img").count() == 0
    finally:
        server.end()


def test_sensors_without_end_are_listed_by_pages_and_found_by_words(visit: Visit, tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    stage_readings(layout, [Series(f"asset-{n // 10:04}", f"sensor-{n % 10}") for n in range(5_000)])
    server = Served(layout)
    server.start()
    try:
        page = visit.page
        page.goto(f"{server.url}/explore?tab=overview")
        rows = page.locator("#stage tbody tr")
        expect(rows).to_have_count(100)
        page.get_by_role("button", name="More sensors").click()
        expect(rows).to_have_count(200)
        page.locator("#filter").fill("0499 sensor-9")
        expect(rows).to_have_count(1)
        page.keyboard.press("Escape")
        page.keyboard.press("1")
        page.locator("#search").fill("asset-04 sensor-9")
        expect(page.locator(".found button.sensor")).to_have_count(30)
        with visit.page.expect_request(lambda one: "asset=asset-0499" in one.url):
            page.locator("#search").fill("asset-0499 sensor-9")  # one asset alone is looked through
        expect(page.locator(".found button.sensor")).to_have_count(1)
        page.locator(".found button.sensor").click()
        expect(page.locator(".pens li")).to_contain_text("asset-0499 / sensor-9")
    finally:
        server.end()


def test_a_day_of_the_calendar_leads_to_its_hours_and_their_files(visit: Visit, served: Served) -> None:
    page = visit.page
    span = "start=2023-12-30&end=2024-01-03&limit=1000"  # the plant lived then
    page.route(
        "**/coverage?*", lambda route: route.continue_(url=f"{served.url}/coverage?asset=press-1&{span}")
    )
    page.goto(f"{served.url}/explore?tab=files&asset=press-1")
    day = page.get_by_role("button", name="temperature, 2024-01-01")
    expect(day).to_have_attribute(
        "aria-label",
        "temperature, 2024-01-01: 7,640 readings in 22 hours, here alone; with hours that have none",
    )
    day.focus()
    page.keyboard.press("ArrowUp")
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_role("button", name="2024-01-01T05:00:00Z: here alone").click()
    expect(page.locator("code", has_text="raw/press-1/2024/01/01/05/temperature.parquet")).to_be_visible()
    expect(page.get_by_text("360 in ")).to_be_visible()
    assert faults_for_a_screen_reader(page) == []


def test_last_values_move_by_themselves(visit: Visit, served: Served) -> None:
    with visit.page.expect_response(lambda one: "recent=40" in one.url):
        visit.page.goto(f"{served.url}/explore?tab=overview")
    with visit.page.expect_response(lambda one: "recent=0" in one.url) as again:
        pass
    assert again.value.status == 200


def test_times_are_told_in_the_zone_chosen_with_its_offset(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address().replace("tz=UTC", "tz=Pacific/Chatham"))
    _lines(page)
    expect(page.locator(".note")).to_contain_text("01/01/2024, 13:45:00 UTC+13:45")
    page.keyboard.press("t")
    expect(page.locator(".note")).to_contain_text("01/01/2024, 00:00:00 UTC –")


@pytest.mark.parametrize(("day", "hours"), [("2024-03-31", 23), ("2024-10-27", 25)])
def test_a_day_of_the_zone_is_as_long_as_its_clocks_make_it(
    visit: Visit, served: Served, day: str, hours: int
) -> None:
    """Berlin's clocks change on these days; the note tells both ends with their own offsets."""
    start, end = {
        23: ("2024-03-30T23:00:00Z", "2024-03-31T22:00:00Z"),
        25: ("2024-10-26T22:00:00Z", "2024-10-27T23:00:00Z"),
    }[hours]
    page = visit.page
    page.goto(
        f"{served.url}/explore?pen=press-1/temperature&from={start}&to={end}&tz=Europe/Berlin&resolution=hour"
    )
    note = page.locator(".note")
    first, last = {23: ("UTC+1", "UTC+2"), 25: ("UTC+2", "UTC+1")}[hours]
    year, month, number = day.split("-")
    expect(note).to_contain_text(f"{number}/{month}/{year}, 00:00:00 {first} – ")
    expect(note).to_contain_text(f"00:00:00 {last} · Europe/Berlin")


def test_a_browser_whose_language_is_none_shows_the_page_too(visit: Visit, served: Served) -> None:
    language = "Object.defineProperty(Navigator.prototype, 'language', { get: () => 'en-US@posix' })"
    visit.page.add_init_script(language)
    visit.page.goto(served.url + _address())
    assert _lines(visit.page)[0]["points"] == 360


PAINTED = """() => {
  const canvas = document.querySelector('.chart canvas');
  const ink = canvas.getContext('2d').getImageData(0, 0, canvas.width, canvas.height).data;
  const wanted = getComputedStyle(document.body).getPropertyValue('--c0').trim();
  const [red, green, blue] = [1, 3, 5].map((place) => parseInt(wanted.slice(place, place + 2), 16));
  const over = document.querySelector('.u-over').getBoundingClientRect();
  const left = over.left - canvas.getBoundingClientRect().left;
  const above = over.top - canvas.getBoundingClientRect().top;
  return Array.from({ length: Math.floor(over.width) }, (_, column) => {
    let top = -1;
    for (let row = 0; row < above + over.height; row += 1) {
      const at = 4 * (row * canvas.width + Math.floor(left + column));
      const far = Math.abs(ink[at] - red) + Math.abs(ink[at + 1] - green) + Math.abs(ink[at + 2] - blue);
      if (far < 60) { top = row; break; }
    }
    return top;
  });
}"""


def test_the_pixels_show_the_line_its_spike_and_nothing_in_the_silence(visit: Visit, served: Served) -> None:
    page = visit.page
    span = (SILENT[0] - HOUR, SILENT[1] + HOUR)
    page.goto(served.url + _address(start=span[0], seconds=(span[1] - span[0]) // SECOND))
    _lines(page)
    painted = page.evaluate(PAINTED)

    def column(time: int) -> int:
        return round((time - span[0]) / (span[1] - span[0]) * len(painted))

    silence = painted[column(SILENT[0]) + 2 : column(SILENT[1]) - 2]
    assert len(silence) > 100
    assert set(silence) == {-1}
    outside = painted[3 : column(SILENT[0]) - 3] + painted[column(SILENT[1]) + 3 : -3]
    assert sum(top > 0 for top in outside) > 0.95 * len(outside)
    page.goto(served.url + _address(start=SPIKE_AT - HOUR, seconds=7200))
    _lines(page)
    tops = page.evaluate(PAINTED)
    peak = min((top, place) for place, top in enumerate(tops) if top > 0)[1]
    assert abs(peak - len(tops) / 2) < 4


def test_the_wheel_zooms_to_where_it_is_turned(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address())
    _lines(page)
    box = page.locator(".u-over").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] - 1, box["y"] + 30)
    with page.expect_request("**/query?*"):
        page.mouse.wheel(0, -100)
    given = parse_qs(urlsplit(page.url).query)
    assert given["from"][0] > "2024-01-01T00:10"
    assert "2024-01-01T00:59:5" < given["to"][0] < "2024-01-01T01:00:05"
