"""A real Chromium, out of a package, that may ask nothing but this machine."""

import contextlib
import fcntl
import json
import os
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from threading import Event, Thread
from typing import Any
from urllib.parse import urlsplit

from playwright.sync_api import Browser, Page, Route, sync_playwright

from sensor_storage.api.access import is_loopback
from sensor_storage.api.keys import KeyRing
from sensor_storage.api.server import serve
from sensor_storage.clock import SystemClock
from sensor_storage.storage.layout import Layout

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
_WHERE = """
import chromium from "@sparticuz/chromium";
console.log(await chromium.executablePath());
"""
# No --in-process-gpu, --single-process or --use-angle: the browser's own process then sets variables of the
# environment while its threads read them, and now and then dies by SIGSEGV in getenv.
_ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--font-render-hinting=none", "--disk-cache-size=33554432"]


@contextlib.contextmanager
def chromium() -> Iterator[Browser]:
    """A running browser; it is unpacked into `.cache` once."""
    program = _program()
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=_ARGUMENTS, headless=True)
        try:
            yield browser
        finally:
            browser.close()


def _program() -> str:
    """Chromium's program. A half unpacked one dies at its start, so it gets its place only when it is whole."""
    modules = WEB / "node_modules"
    assert modules.exists(), "the browser is not there: run `make test`, or `make page` once"
    version = json.loads((modules / "@sparticuz" / "chromium" / "package.json").read_text())["version"]
    cache = (ROOT / ".cache").resolve()
    place = cache / f"chromium-{version}"
    cache.mkdir(exist_ok=True)
    with (cache / "chromium.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not place.exists():
            with tempfile.TemporaryDirectory(dir=cache, prefix="chromium-aside-") as aside:
                unpacked = Path(aside) / "whole"
                unpacked.mkdir()
                _unpack(unpacked)
                unpacked.rename(place)
    return str(place / "chromium")


def _unpack(folder: Path) -> None:
    path = f"{ROOT / '.venv' / 'bin'}:{os.environ['PATH']}"
    node = ["node", "--input-type=module", "-e", _WHERE]
    subprocess.run(
        node,
        cwd=WEB,
        env={**os.environ, "TMPDIR": str(folder), "PATH": path},
        capture_output=True,
        check=True,
    )


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


def faults_for_a_screen_reader(page: Page) -> list[Any]:
    """What axe finds amiss in the page as it stands: rules, and the elements that break them."""
    page.evaluate((WEB / "node_modules" / "axe-core" / "axe.min.js").read_text())
    found: list[Any] = page.evaluate(
        "axe.run().then(one => one.violations.map(v => [v.id, v.nodes.map(n => n.html)]))"
    )
    return found


class Served:
    """The API's server over one data directory, in a thread; it may end and come back on its port."""

    def __init__(self, layout: Layout, keys: KeyRing | None = None) -> None:
        self._layout = layout
        self._keys = keys
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
                keys=self._keys,
            )

        self._thread = Thread(target=run, daemon=True)
        self._thread.start()
        assert told.wait(30)

    def end(self) -> None:
        """Answer no more."""
        self._stop.set()
        if self._thread:
            self._thread.join(30)
