"""From a phone to the screen on the wall, and on paper."""

import pytest
from playwright.sync_api import Page, expect

from sensor_storage.query.times import as_text
from support.aggregates import DAY, SECOND
from support.browser import Served, Visit

SCREENS = {"phone": (360, 740), "laptop": (1366, 768), "wall": (3840, 2160)}
TABS = ("trend", "overview", "pipeline", "files")
WINDOW = f"from={as_text(DAY)}&to={as_text(DAY + 86_400 * SECOND)}&tz=UTC"


def _open(visit: Visit, served: Served, tab: str) -> Page:
    visit.page.goto(f"{served.url}/explore?pen=press-1/temperature&{WINDOW}&tab={tab}")
    visit.page.wait_for_load_state("networkidle")
    return visit.page


@pytest.mark.parametrize("tab", TABS)
@pytest.mark.parametrize("screen", SCREENS)
def test_every_tab_fits_its_screen(visit: Visit, served: Served, screen: str, tab: str) -> None:
    width, height = SCREENS[screen]
    visit.page.set_viewport_size({"width": width, "height": height})
    page = _open(visit, served, tab)
    assert page.evaluate("document.scrollingElement.scrollWidth") <= width
    if tab == "trend":
        chart = page.locator(".chart canvas").first.bounding_box()
        assert chart is not None
        assert chart["width"] > width / 2


def test_on_paper_there_are_the_chart_and_its_window_without_buttons(visit: Visit, served: Served) -> None:
    page = _open(visit, served, "trend")
    expect(page.locator(".note").filter(has_text=" points ")).to_be_visible()
    page.emulate_media(media="print")
    expect(page.locator(".chart canvas").first).to_be_visible()
    expect(page.locator(".note .window")).to_be_visible()
    for part in ("[role=tablist]", ".picker", "header .tools"):
        expect(page.locator(part)).to_be_hidden()
