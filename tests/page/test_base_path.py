"""The page below a path of a proxy, in a real browser: nothing it asks for lies outside of that path."""

from collections.abc import Iterator
from threading import Thread

import pytest
import uvicorn
from fastapi import FastAPI
from playwright.sync_api import expect

from sensor_storage.api.app import create_app
from sensor_storage.clock import SystemClock
from sensor_storage.query.times import as_text
from support.aggregates import DAY, SECOND
from support.browser import Served, Visit
from support.waiting import wait_until


@pytest.fixture
def below(served: Served) -> Iterator[str]:
    """The plant's API below a path."""
    outer = FastAPI()
    outer.mount("/plants/north", create_app(served._layout, SystemClock()))
    server = uvicorn.Server(uvicorn.Config(outer, port=0, log_level="error"))
    thread = Thread(target=server.run, daemon=True)
    thread.start()
    wait_until(lambda: server.started, "the server listens")
    (socket,) = server.servers[0].sockets
    yield f"http://127.0.0.1:{socket.getsockname()[1]}/plants/north"
    server.should_exit = True
    thread.join(30)


def test_every_tab_works_below_a_path(visit: Visit, below: str) -> None:
    page, asked = visit.page, list[str]()
    page.on("request", lambda request: asked.append(request.url))
    span = f"from={as_text(DAY)}&to={as_text(DAY + 3600 * SECOND)}"
    page.goto(f"{below}/explore?pen=press-1/temperature&{span}&tz=UTC")
    expect(page.locator(".note")).to_contain_text("360 points")
    page.keyboard.press("2")
    expect(page.locator("#stage tbody tr")).to_have_count(5)
    page.keyboard.press("3")
    expect(page.get_by_text("The street")).to_be_visible()
    page.keyboard.press("4")
    expect(page.get_by_text("No readings on these days")).to_be_visible()
    assert page.url.startswith(f"{below}/explore?")
    assert len(asked) > 8
    assert [url for url in asked if not url.startswith(below)] == []
