"""Takes the pictures of the page that stand in the documents, from the demo.

`make pictures`. Starts the demo on an hour and a half of past, waits until hours are uploaded, proven and
cleaned up, and writes `docs/pictures/*.png`. `--url` takes them from a demo that runs, `--folder` says where to.
"""

import argparse
import json
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from playwright.sync_api import Browser, Page

from support.browser import chromium

ROOT = Path(__file__).parents[1]
PATIENCE_SECONDS = 240
PENS = "&".join(
    f"pen={pen}"
    for pen in (
        "press-1/temperature",  # with a spike every minute
        "press-1/oil_pressure",
        "pump-1/flow",  # falls silent
        "kiln-1/draught",  # with bad quality
        "press-1/alarm~step",
    )
)
WIDE, PHONE, WALL = (1280, 800), (390, 844), (2560, 1440)


def main() -> int:
    """Take them all; their names are the answer."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--url", help="A demo that runs already.")
    parser.add_argument("--folder", type=Path, default=ROOT / "docs" / "pictures")
    chosen = parser.parse_args()
    chosen.folder.mkdir(parents=True, exist_ok=True)
    with _demo(chosen.url) as url, chromium() as browser:
        _wait(url)
        for name, size, scheme, address in _pictures():
            page = _page(browser, size, scheme)
            page.goto(url + address)
            page.wait_for_load_state("networkidle")
            _prepare(name, page)
            page.screenshot(path=chosen.folder / f"{name}.png")
            page.context.close()
            print(chosen.folder / f"{name}.png")
    return 0


def _pictures() -> Iterator[tuple[str, tuple[int, int], str, str]]:
    """Name, size, colours and address of each; the time stands still, so that nothing moves meanwhile."""
    end = int(time.time())
    span = f"from={_iso(end - 1500)}&to={_iso(end)}&tz=UTC"
    yield "trend", WIDE, "light", f"/explore?{PENS}&{span}"
    yield "trend-dark", WIDE, "dark", f"/explore?{PENS}&{span}"
    yield "trend-phone", PHONE, "light", f"/explore?{PENS}&{span}"
    yield "trend-wall", WALL, "dark", f"/explore?{PENS}&{span}"
    yield "overview", WIDE, "light", "/explore?tab=overview"
    yield "overview-phone", PHONE, "dark", "/explore?tab=overview"
    yield "pipeline", WIDE, "dark", "/explore?tab=pipeline"
    yield "files", WIDE, "light", "/explore?tab=files&asset=press-1"


def _prepare(name: str, page: Page) -> None:
    """What a hand would do before the picture."""
    if name.startswith("trend"):
        page.locator(".note", has_text=" points ").wait_for()
        if name != "trend-phone":
            page.locator("#search").fill("press-1")
            page.locator("summary", has_text="press-1").first.click()
            page.locator("button.sensor svg").first.wait_for()
            page.evaluate("document.activeElement.blur()")
            box = page.locator(".u-over").first.bounding_box() or {"x": 0, "y": 0, "width": 0}
            for place, key in ((0.3, "a"), (0.62, "b")):
                page.mouse.move(box["x"] + box["width"] * place, box["y"] + 20)
                page.wait_for_timeout(1_000)  # till the cursor has followed
                page.keyboard.press(key)
    if name.startswith("overview"):
        page.locator("td.course svg").first.wait_for(state="attached")
    if name == "pipeline":
        page.wait_for_timeout(20_000)  # the rate gets a course
    if name == "files":
        page.locator("button.day").last.click()
        page.locator("button.hour.both, button.hour.cloud").first.click()
        page.locator("#stage dl.facts").first.wait_for()


def _page(browser: Browser, size: tuple[int, int], scheme: str) -> Page:
    context = browser.new_context(
        locale="en-GB",
        viewport={"width": size[0], "height": size[1]},
        color_scheme="dark" if scheme == "dark" else "light",
    )
    return context.new_page()


@contextmanager
def _demo(url: str | None) -> Iterator[str]:
    """The address of a demo; one of its own ends with it."""
    if url:
        yield url.rstrip("/")
        return
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    with tempfile.TemporaryDirectory() as folder:
        words = ["demo", "--data", folder, "--port", str(port), "--past", "5400"]
        demo = subprocess.Popen([sys.executable, "-m", "sensor_storage", *words], stdout=subprocess.DEVNULL)
        try:
            yield f"http://127.0.0.1:{port}"
        finally:
            demo.terminate()
            demo.wait(60)


def _wait(url: str) -> None:
    """Until something is uploaded and has left the disk."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            cold = _asked(f"{url}/storage/stats")["cold"]
        except (URLError, ConnectionError):
            cold = None
        if cold and cold["removed_files"] and cold["uploaded_files"]:
            return
        time.sleep(1)
    raise TimeoutError(f"{url} has cleaned nothing up within {PATIENCE_SECONDS} s")


def _asked(address: str) -> dict[str, Any]:
    with urlopen(address, timeout=10) as answer:
        found: dict[str, Any] = json.loads(answer.read())
        return found


def _iso(seconds: int) -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds))


if __name__ == "__main__":
    sys.exit(main())
