"""Each pen has its colour, its way and its scale; what the chart shows of silence, bad and null."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Page, expect

from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import write_status
from support.aggregates import DAY, SECOND, Reading, aggregate, arrive
from support.browser import Served, Visit, faults_for_a_screen_reader
from support.statuses import ingest_status, maintain_status

CHART = "document.querySelector('.chart').drawn()"
BLUE, PINK = "temperature", "pressure"


def _address(*pens: str, start: int = DAY, seconds: int = 3600) -> str:
    pen = "&".join(f"pen={pen}" for pen in pens)
    return f"/explore?{pen}&from={as_text(start)}&to={as_text(start + seconds * SECOND)}&tz=UTC"


def _pens(page: Page) -> list[dict[str, Any]]:
    expect(page.locator(".note").filter(has_text=" ms")).to_be_visible()
    found: list[dict[str, Any]] = page.evaluate(f"{CHART}.flatMap(lane => lane.pens)")
    return found


def test_colour_steps_lane_and_scale_of_a_pen_are_chosen_and_stay_in_the_link(
    visit: Visit, served: Served
) -> None:
    page = visit.page
    page.goto(served.url + _address("press-1/temperature"))
    assert _pens(page)[0]["colour"] == 0

    def menu() -> None:
        if not page.get_by_role("button", name="pink").is_visible():
            page.locator(".menu.pen summary").click()

    for name in ("pink", "Steps", "Own lane"):
        menu()
        page.get_by_role("button", name=name).click()
    menu()
    page.get_by_label("Least of the scale").fill("-20")
    page.get_by_label("Greatest of the scale").fill("80.5")
    page.get_by_role("button", name="Set", exact=True).click()
    assert parse_qs(urlsplit(page.url).query)["pen"] == ["press-1/temperature~step~own~c5~-20..80.5"]
    page.goto(page.url)
    (pen,) = _pens(page)
    assert (pen["colour"], pen["step"], pen["own"], pen["scale"]) == (5, True, True, [-20, 80.5])
    menu()
    page.get_by_label("Least of the scale").fill("99")
    page.get_by_role("button", name="Set", exact=True).click()
    expect(page.get_by_text("A scale is two numbers, the second one greater")).to_be_visible()


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_a_screen_reader_finds_no_fault_in_what_opens(visit: Visit, served: Served, scheme: str) -> None:
    page = visit.page
    page.emulate_media(color_scheme="dark" if scheme == "dark" else "light")
    page.goto(served.url + _address("press-1/temperature", "press-1/state~step"))
    _pens(page)
    page.locator(".assets summary", has_text="press-1").click()
    expect(page.locator(".assets button.sensor").first).to_be_visible()
    for opens in (".menu.pen summary", ".menu summary >> text=Export", ".menu summary >> text=Options"):
        page.locator(opens).first.click()
        assert faults_for_a_screen_reader(page) == [], opens
        page.keyboard.press("Escape")
        expect(page.locator("details.menu[open]")).to_have_count(0)
    page.evaluate("document.activeElement.blur()")
    page.keyboard.press(".")
    page.keyboard.press("Enter")
    expect(page.get_by_role("complementary", name="The chosen point")).to_contain_text("receipt")
    page.keyboard.press("?")
    assert faults_for_a_screen_reader(page) == []


def test_a_pen_keeps_its_colour_when_another_leaves_and_the_next_takes_a_free_one(
    visit: Visit, served: Served
) -> None:
    page = visit.page
    page.goto(served.url + _address("press-1/temperature", "press-1/pressure"))
    _pens(page)
    page.get_by_role("button", name="Take press-1 temperature off the chart").click()
    expect(page.locator(".pens li")).to_have_count(1)
    assert parse_qs(urlsplit(page.url).query)["pen"] == ["press-1/pressure~c1"]
    page.locator("summary", has_text="press-1").first.click()
    page.locator(".assets button.sensor", has_text="temperature").click()
    expect(page.locator(".pens li")).to_have_count(2)
    assert parse_qs(urlsplit(page.url).query)["pen"] == ["press-1/pressure~c1", "press-1/temperature~c0"]


def test_the_cursor_reads_all_pens(visit: Visit, served: Served) -> None:
    page = visit.page
    page.goto(served.url + _address("press-1/temperature", "press-1/state~step"))
    _pens(page)
    box = page.locator(".u-over").first.bounding_box()
    assert box
    page.mouse.move(box["x"] + box["width"] * 105.5 / 3600, box["y"] + 40)
    expect(page.locator(".pens b").nth(0)).to_have_text("10 °C")  # seconds / 10
    expect(page.locator(".pens b").nth(1)).to_contain_text("on")
    expect(page.locator(".when")).to_contain_text("00:01:4")


@pytest.fixture
def silent_and_null(tmp_path: Path) -> Iterator[Served]:
    """Ten minutes of readings, of which one is null for a minute; then silence."""
    layout = Layout(tmp_path / "raw")
    arrive(
        layout,
        [Reading(DAY + second * SECOND, *(() if 120 <= second < 180 else (1.0,))) for second in range(600)],
    )
    aggregate(layout)
    server = Served(layout)
    server.start()
    yield server
    server.end()


@pytest.mark.parametrize("resolution", ["raw", "minute"])
def test_null_is_a_band_and_silence_reaches_to_the_edges_of_the_window(
    visit: Visit, silent_and_null: Served, resolution: str
) -> None:
    page = visit.page
    start = DAY - 600 * SECOND
    page.goto(
        silent_and_null.url
        + _address("press-1/temperature", start=start, seconds=1800)
        + f"&resolution={resolution}"
    )
    (pen,) = _pens(page)
    line = pen["line"]
    at = DAY / SECOND
    assert [(one["from"] - at, one["to"] - at) for one in line["nulls"]] == [(120, 180)]
    assert line["bad"] == []
    width = 1 if resolution == "raw" else 0  # the last reading, or the end of the last minute
    assert [(a - at, b - at) for a, b in line["gaps"]] == [(-600, 0), (600 - width, 1200)]
    for sign in ("null", "no readings"):
        expect(page.locator(".key-of", has_text=sign)).to_be_visible()


def test_where_no_topic_matches_the_page_names_those_there_are_and_a_line_to_paste(
    visit: Visit, tmp_path: Path
) -> None:
    layout = Layout(tmp_path / "raw")
    write_status(layout, ingest_status(topics=0, pattern="^sensor-data-.*$", other_topics=("orders", "<b>")))
    write_status(layout, maintain_status())
    server = Served(layout)
    server.start()
    try:
        page = visit.page
        page.goto(f"{server.url}/explore?tab=overview")
        stage = page.locator("#stage")
        expect(stage).to_contain_text("Broker reachable. 0 topics match ^sensor-data-.*$.")
        expect(stage.locator(".seen li")).to_have_text(["orders", "<b>"])
        expect(stage.locator("pre")).to_contain_text("kafka-console-producer.sh --bootstrap-server")
    finally:
        server.end()
