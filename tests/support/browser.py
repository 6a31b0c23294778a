"""A real Chromium, out of a package, that may ask nothing but this machine."""

import contextlib
import json
import os
import subprocess
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Error, Page, Playwright, Route, sync_playwright

from sensor_storage.api.access import is_loopback
from sensor_storage.api.server import serve
from sensor_storage.clock import SystemClock
from sensor_storage.storage.layout import Layout

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
_ATTEMPTS = 3
_WHERE = """
import chromium from "@sparticuz/chromium";
console.log(JSON.stringify([await chromium.executablePath(), chromium.args]));
"""


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; it is unpacked into `.cache` once."""
    modules = WEB / "node_modules"
    assert modules.exists(), "the browser is not there: run `make test`, or `make page` once"
    unpacked = ROOT / ".cache" / "chromium"
    unpacked.mkdir(parents=True, exist_ok=True)
    node = ["node", "--input-type=module", "-e", _WHERE]
    environment = {
        **os.environ,
        "TMPDIR": str(unpacked),
        "PATH": f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}",
    }
    told = subprocess.run(node, cwd=WEB, env=environment, capture_output=True, text=True, check=True)
    program, arguments = json.loads(told.stdout.splitlines()[-1])
    fitting = [one for one in arguments if one not in {"--single-process", "--no-zygote"}]
    with sync_playwright() as playwright:
        browser = _launched(playwright, program, fitting)
        try:
            yield browser
        finally:
            browser.close()


def _launched(playwright: Playwright, program: str, arguments: list[str]) -> Browser:
    """A browser; on a busy machine it may die while it starts, so it gets three attempts."""
    for _ in range(_ATTEMPTS - 1):
        with contextlib.suppress(Error):
            return playwright.chromium.launch(executable_path=program, args=arguments, headless=True)
    return playwright.chromium.launch(executable_path=program, args=arguments, headless=True)


class Visit:
    """A page opened for one test, and what it did that it must not."""

    def __init__(self, page: Page) -> None:
        self.page = page
        self.elsewhere: list[str] = []
        self.errors: list[str] = []
        page.route("**/*", self._route)
        page.on("pageerror", lambda error: self.errors.append(str(error)))
        page.on("console", lambda line: self.errors.append(line.text) if line.type == "error" else None)

    def _route(self, route: Route) -> None:
        if is_loopback(urlsplit(route.request.url).hostname or "") or route.request.url.startswith("blob:"):
            route.continue_()
        else:
            self.elsewhere.append(route.request.url)
            route.abort()


class Served:
    """The API's server over one data directory, in a thread; it may end and come back on its port."""

    def __init__(self, layout: Layout) -> None:
        self._layout = layout
        self._stop = Event()
        self._thread: Thread | None = None
        self.port = 0

    @property
    def url(self) -> str:
        """Where it answers."""
        return f"http://127.0.0.1:{self.port}"

    def start(self) -> None:
        """Listen and answer."""
        self._stop, told = Event(), Event()

        def listening(port: int) -> None:
            self.port = port
            told.set()

        def run() -> None:
            serve(
                self._layout,
                SystemClock(),
                host="127.0.0.1",
                port=self.port,
                stop=self._stop,
                listening=listening,
            )

        self._thread = Thread(target=run, daemon=True)
        self._thread.start()
        assert told.wait(30)

    def end(self) -> None:
        """Answer no more."""
        self._stop.set()
        if self._thread:
            self._thread.join(30)
