"""One Chromium for a module, and the API's server over the troubled plant."""

from collections.abc import Iterator

import pytest
from playwright.sync_api import Browser

from sensor_storage.storage.layout import Layout
from support.aggregates import aggregate, arrive
from support.browser import Served, Visit, chromium
from support.troubled import readings


@pytest.fixture(scope="module")  # its event loop must not outlive the tests that need it
def browser() -> Iterator[Browser]:
    with chromium() as running:
        yield running


@pytest.fixture(scope="session")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    layout = Layout(tmp_path_factory.mktemp("plant") / "raw")
    arrive(layout, readings())
    aggregate(layout)
    server = Served(layout)
    server.start()
    yield server
    server.end()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """A fresh page; afterwards nothing has left the machine and nothing went wrong in it."""
    context = browser.new_context(locale="en-GB", viewport={"width": 1280, "height": 800})
    one = Visit(context.new_page())
    yield one
    context.close()
    assert one.elsewhere == []
    assert one.errors == []
