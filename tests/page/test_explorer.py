"""The page in a real browser, against the API's real server: what it draws is what the API answers."""

import json
import re
import urllib.parse
import urllib.request
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from support.aggregates import DAY, SECOND
from support.browser import Served, Visit, faults_for_a_screen_reader
from support.troubled import MARKUP, SILENT, SPIKE, SPIKE_AT

CHART = "document.querySelector('.chart').drawn()"


def _address(*pens: str, start: int = DAY, seconds: int = 2 * 86_400, more: str = "") -> str:
    pen = "&".join(f"pen={pen}" for pen in pens)
    return f"/explore?{pen}&from={_time(start)}&to={_time(start + seconds * SECOND)}&tz=UTC{more}"


def _time(microseconds: int) -> str:
    return as_text(microseconds)


def _open(visit: Visit, served: Served, address: str) -> Page:
    visit.page.goto(served.url + address)
    return visit.page


def _lines(page: Page) -> list[dict[str, Any]]:
    """What each pen has drawn, once it is drawn."""
    expect(page.locator(".note").filter(has_text=" points ")).to_be_visible()
    found: list[dict[str, Any]] = page.evaluate(f"{CHART}.flatMap(lane => lane.pens.map(pen => pen.line))")
    return found


def _asked(served: Served, **parameters: str | int) -> dict[str, Any]:
    query = urllib.parse.urlencode({"asset": "press-1", "sensor": "temperature", **parameters})
    with urllib.request.urlopen(f"{served.url}/query?{query}") as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def _drawn(line: dict[str, Any], name: str) -> list[float]:
    return [one for one in line[name] if one is not None]


def test_the_chart_draws_exactly_what_the_query_api_answers(visit: Visit, served: Served) -> None:
    (line,) = _lines(_open(visit, served, _address("press-1/temperature", more="&resolution=minute")))
    rows = _asked(served, start=_time(DAY), end=_time(DAY + 2 * 86_400 * SECOND), resolution="minute")["rows"]
    assert len(rows) > 2000
    for name in ("min", "max", "mean"):
        assert _drawn(line, name) == [row[name] for row in rows if row[name] is not None]
    assert line["statistics"]["count"] == sum(row["count"] for row in rows)
    ((start, end),) = [(one["from"], one["to"]) for one in line["bad"]]
    assert (end - start) / 60 == sum(row["bad_count"] > 0 for row in rows) == 6


@pytest.mark.parametrize("hours", [1, 8, 24, 24 * 30, 24 * 365])
def test_a_spike_of_one_reading_is_drawn_at_every_zoom(visit: Visit, served: Served, hours: int) -> None:
    start = SPIKE_AT - hours * 1800 * SECOND
    (line,) = _lines(_open(visit, served, _address("press-1/temperature", start=start, seconds=hours * 3600)))
    assert max(_drawn(line, "max") or _drawn(line, "mean")) == SPIKE
    assert line["statistics"]["max"] == SPIKE


def test_silence_is_blank_and_no_line_crosses_it(visit: Visit, served: Served) -> None:
    page = _open(visit, served, _address("press-1/temperature", start=DAY + 49_000 * SECOND, seconds=12_000))
    (line,) = _lines(page)
    ((start, end),) = line["gaps"]
    assert (start, end) == (SILENT[0] / SECOND - 10, SILENT[1] / SECOND)
    inside = [one for at, one in zip(line["times"], line["mean"], strict=True) if start < at < end]
    assert inside == [None]


def test_text_states_bad_quality_and_two_units_stand_beside_each_other(visit: Visit, served: Served) -> None:
    address = _address("press-1/temperature", "press-1/state~step", "press-1/pressure")
    page = _open(visit, served, address)
    temperature, state, pressure = _lines(page)
    assert page.evaluate(f"{CHART}.length") == 3
    assert temperature["bad"]
    assert [one["text"] for one in state["texts"]][:4] == ["on", "off", "on", "off"]
    assert (pressure["points"], pressure["unit"]) == (1, "bar")


def test_dragging_zooms_fetches_finer_and_back_returns(visit: Visit, served: Served) -> None:
    page = _open(visit, served, _address("press-1/temperature"))
    assert _lines(page)[0]["resolution"] == "hour"
    before = page.url
    box = page.locator(".u-over").bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 0.5, box["y"] + 60)
    page.mouse.down()
    page.mouse.move(box["x"] + box["width"] * 0.51, box["y"] + 60, steps=3)
    page.mouse.up()
    expect(page.locator(".note").filter(has_text="raw · ")).to_be_visible()
    assert _lines(page)[0]["resolution"] == "raw"
    assert page.url != before
    page.go_back()
    expect(page.locator(".note").filter(has_text="hour · ")).to_be_visible()
    assert page.url == before


def test_a_link_holds_everything_and_freezes_the_time(visit: Visit, served: Served) -> None:
    marks = "&shift=1d&resolution=hour&gap=20"
    page = _open(visit, served, _address("press-1/temperature", "press-1/pressure~step", more=marks))
    assert len(_lines(page)) == 4
    page.keyboard.press("+")
    expect(page.locator(".note").filter(has_text="hour · ")).to_be_visible()
    given = parse_qs(urlsplit(page.url).query)
    assert given["pen"] == ["press-1/temperature", "press-1/pressure~step"]
    assert (given["shift"], given["resolution"], given["gap"], given["tz"]) == (
        ["1d"],
        ["hour"],
        ["20"],
        ["UTC"],
    )
    assert given["from"] == ["2024-01-01T12:00:00.000Z"]
    link = page.url
    page.goto(link)
    _lines(page)
    page.keyboard.press("c")
    assert page.url == link


def test_live_follows_now_and_says_so_in_the_link(visit: Visit, served: Served) -> None:
    page = _open(visit, served, _address("press-1/temperature"))
    _lines(page)
    chart = re.compile(r"/query\?.*max_points=2000")  # the strip below asks for fewer
    with page.expect_response(chart) as first:
        page.keyboard.press("l")
    with page.expect_response(chart) as second:
        pass
    ends = [parse_qs(urlsplit(one.value.url).query)["end"][0] for one in (first, second)]
    assert ends[0] < ends[1]
    assert parse_qs(urlsplit(page.url).query)["live"] == ["2d"]
    expect(page.get_by_role("button", name="Go to its last readings")).to_be_visible()


def test_sensors_are_found_by_typing_and_names_stay_text(visit: Visit, served: Served) -> None:
    page = _open(visit, served, _address())
    expect(page.get_by_text("Choose a sensor")).to_be_visible()
    page.keyboard.press("/")
    page.keyboard.type("onerror")
    page.locator("summary", has_text=MARKUP).click()
    page.locator(".assets button.sensor").click()
    page.locator("#search").fill("turned")
    page.locator("summary", has_text="turned").click()
    page.locator(".assets button.sensor", has_text="nnn").click()
    expect(page.locator("tbody tr")).to_have_count(2)
    link = page.url
    page.goto(link)
    expect(page.locator("tbody tr")).to_have_count(2)
    page.keyboard.press("2")
    expect(page.locator("tbody bdi:visible", has_text=MARKUP)).to_have_count(2)
    assert page.locator("#stage img").count() == 0


def test_exports_hold_the_readings_of_the_window(visit: Visit, served: Served) -> None:
    page = _open(visit, served, _address("press-1/temperature", seconds=3600, more="&resolution=raw"))
    _lines(page)
    with page.expect_download() as csv:
        page.get_by_role("button", name="CSV").click()
    assert len(Path(csv.value.path()).read_text().splitlines()) == 361
    page.locator("summary", has_text="Export").click()
    with page.expect_download() as picture:
        page.get_by_role("button", name="Picture").click()
    assert Path(picture.value.path()).read_bytes()[:4] == b"\x89PNG"


def test_the_overview_has_every_last_value_and_its_age(visit: Visit, served: Served) -> None:
    page = _open(visit, served, "/")
    expect(page.locator("tbody tr")).to_have_count(5)
    page.locator("#filter").fill("press-1 temp")
    expect(page.locator("tbody tr")).to_have_count(1)
    row = page.locator("tbody tr")
    expect(row).to_contain_text("59")
    expect(row).to_contain_text("⚠ silent")
    page.get_by_role("button", name="alarm 0").click()
    expect(page.get_by_text("None of these is in alarm.")).to_be_visible()
    page.get_by_role("button", name="silent 1").click()
    row.get_by_role("link").click()
    assert _lines(page)[0]["points"] > 100


def test_the_pipeline_says_what_is_amiss_and_what_to_do(visit: Visit, served: Served) -> None:
    page = _open(visit, served, "/explore?tab=pipeline")
    expect(page.get_by_text("has not reported yet").first).to_be_visible()
    expect(page.get_by_text("see the service's log").first).to_be_visible()
    page.get_by_role("button", name="Flush").click()
    expect(page.get_by_role("alert")).to_be_visible()
    assert all("status of 503" in one for one in visit.errors), visit.errors
    visit.errors.clear()  # the browser reports the refused flush, which the page has told


def test_files_tell_days_with_readings_and_where_a_message_is(visit: Visit, served: Served) -> None:
    page = _open(visit, served, "/explore?tab=files")
    page.locator("#topic").fill("sensor-data-a")
    page.locator("#offset").fill("5")
    page.get_by_role("button", name="Find").click()
    expect(page.locator("code", has_text="raw/press-1/2024/01/01/00/temperature.parquet")).to_be_visible()
    page.locator("#asset").fill("press-1")
    page.get_by_role("button", name="Show").click()
    expect(page.get_by_text("No readings on these days")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("tab", ["trend", "overview", "pipeline", "files"])
def test_a_screen_reader_finds_no_fault(visit: Visit, served: Served, tab: str, scheme: str) -> None:
    visit.page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page = _open(visit, served, _address("press-1/temperature", more=f"&tab={tab}"))
    page.wait_for_load_state("networkidle")
    assert faults_for_a_screen_reader(page) == []


def test_the_page_says_that_the_service_is_gone_and_recovers(visit: Visit, tmp_path: Path) -> None:
    server = Served(Layout(tmp_path / "raw"))
    server.start()
    try:
        page = _open(visit, server, "/explore?tab=overview")
        expect(page.get_by_text("Nothing is stored yet")).to_be_visible()
        server.end()
        expect(page.locator(".lamp", has_text="does not answer")).to_be_visible(timeout=20_000)
        server.start()
        expect(page.locator(".lamp", has_text="received =")).to_be_visible(timeout=20_000)
        expect(page.get_by_text("does not answer")).to_have_count(0, timeout=20_000)
    finally:
        server.end()
    assert all("ERR_" in one for one in visit.errors), visit.errors
    visit.errors.clear()  # the browser reports each request that found nobody
