"""The window is moved by hand: with the mouse, on the time axis, with one finger and with two."""

from collections.abc import Iterator
from datetime import datetime
from urllib.parse import parse_qs, urlsplit

import pytest
from playwright.sync_api import Browser, CDPSession, FloatRect, Page, expect

from sensor_storage.query.times import as_text
from support.aggregates import DAY, SECOND
from support.browser import Served, Visit

START, WIDTH = DAY + 20_000 * SECOND, 3600
ADDRESS = (
    f"/explore?pen=press-1/temperature&from={as_text(START)}&to={as_text(START + WIDTH * SECOND)}&tz=UTC"
)


@pytest.fixture
def fingers(browser: Browser) -> Iterator[Visit]:
    """A page on a phone."""
    context = browser.new_context(locale="en-GB", viewport={"width": 390, "height": 844}, has_touch=True)
    one = Visit(context.new_page())
    yield one
    context.close()
    assert one.elsewhere == []
    assert one.errors == []


def _open(page: Page, served: Served) -> FloatRect:
    page.goto(served.url + ADDRESS)
    expect(page.locator(".note").filter(has_text=" ms")).to_be_visible()
    page.locator(".u-over").scroll_into_view_if_needed()
    box = page.locator(".u-over").bounding_box()
    assert box
    return box


def _window(page: Page) -> tuple[float, float]:
    """Start and end by the address, in seconds from where they were."""
    given = parse_qs(urlsplit(page.url).query)
    start, end = (datetime.fromisoformat(given[name][0]).timestamp() for name in ("from", "to"))
    return start - START / SECOND, end - START / SECOND - WIDTH


def _drag(page: Page, x: float, y: float, by: float) -> None:
    page.mouse.move(x, y)
    page.mouse.down()
    page.mouse.move(x + by / 2, y, steps=3)
    page.mouse.move(x + by, y)
    page.mouse.up()


@pytest.mark.parametrize("place", ["over the chart with Shift", "on the time axis"])
def test_a_drag_moves_the_window_and_fetches_what_comes_in(visit: Visit, served: Served, place: str) -> None:
    page = visit.page
    box = _open(page, served)
    if place == "over the chart with Shift":
        page.keyboard.down("Shift")
        y = box["y"] + box["height"] / 2
    else:
        y = box["y"] + box["height"] + 20
    with page.expect_request("**/query?*"):
        _drag(page, box["x"] + box["width"] * 0.75, y, -box["width"] / 2)
    start, end = _window(page)
    assert start == pytest.approx(end, abs=0.01)  # as wide as before
    assert start == pytest.approx(WIDTH / 2, rel=0.02)
    expect(page.get_by_role("complementary", name="The chosen point")).to_be_hidden()  # that was no press


def test_while_a_hand_moves_it_the_chart_follows_and_nothing_is_fetched(visit: Visit, served: Served) -> None:
    page = visit.page
    box = _open(page, served)
    asked = list[str]()
    page.on("request", lambda request: asked.append(request.url) if "/query?" in request.url else None)
    address = page.url
    page.keyboard.down("Shift")
    page.mouse.move(box["x"] + 400, box["y"] + 40)
    page.mouse.down()
    page.mouse.move(box["x"] + 300, box["y"] + 40, steps=5)
    assert page.url == address
    assert asked == []
    page.mouse.up()
    assert page.url != address


class Touch:
    """Fingers on the glass."""

    def __init__(self, page: Page) -> None:
        self._link: CDPSession = page.context.new_cdp_session(page)

    def move(self, *paths: tuple[tuple[float, float], tuple[float, float]], steps: int = 6) -> None:
        """Each finger goes down, along its path, and up."""
        self._send("touchStart", [start for start, _ in paths])
        for step in range(1, steps + 1):
            share = step / steps
            self._send(
                "touchMove", [(a[0] + (b[0] - a[0]) * share, a[1] + (b[1] - a[1]) * share) for a, b in paths]
            )
        self._send("touchEnd", [])

    def _send(self, kind: str, points: list[tuple[float, float]]) -> None:
        touches = [{"x": x, "y": y, "id": finger} for finger, (x, y) in enumerate(points)]
        self._link.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": touches})


def test_one_finger_moves_the_window(fingers: Visit, served: Served) -> None:
    page = fingers.page
    box = _open(page, served)
    y = box["y"] + box["height"] / 2
    Touch(page).move(((box["x"] + 40, y), (box["x"] + 40 + box["width"] / 2, y)))
    expect(page).not_to_have_url(served.url + ADDRESS)
    start, end = _window(page)
    assert start == pytest.approx(end, abs=0.01)
    assert start == pytest.approx(-WIDTH / 2, rel=0.05)


def test_two_fingers_zoom_about_what_is_between_them(fingers: Visit, served: Served) -> None:
    page = fingers.page
    box = _open(page, served)
    y, middle = box["y"] + box["height"] / 2, box["x"] + box["width"] / 2
    Touch(page).move(((middle - 30, y), (middle - 60, y)), ((middle + 30, y), (middle + 60, y)))
    expect(page).not_to_have_url(served.url + ADDRESS)
    start, end = _window(page)
    assert start == pytest.approx(WIDTH / 4, rel=0.05)
    assert end == pytest.approx(-WIDTH / 4, rel=0.05)
