"""The documents as a site: whole, readable by Python's Markdown too, and asking no other machine for anything."""

import functools
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from html.parser import HTMLParser
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest

from support.browser import Visit, chromium

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
UNRENDERED = re.compile(r"^\s*(?:- |\* |\| |#+ |```)|\]\(|\*\*")


class Parts(HTMLParser):
    """What a page loads, where it leads, its anchors, and its words outside of code."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.leads: list[str] = []
        self.anchors: set[str] = set()
        self.words = ""
        self._quiet = 0
        self.feed(page.read_text())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        found = dict(attrs)
        self._quiet += tag in {"code", "pre", "script", "style", "svg"}
        if name := found.get("id"):
            self.anchors.add(name)
        if tag == "a" or found.get("rel") in {"canonical", "prev", "next"}:
            self.leads.append(found.get("href") or "")
        elif address := found.get("src") or (tag == "link" and found.get("href")) or None:
            self.loads.append(address)

    def handle_endtag(self, tag: str) -> None:
        self._quiet -= tag in {"code", "pre", "script", "style", "svg"}

    def handle_data(self, data: str) -> None:
        self.words += "" if self._quiet else data


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site, made by the words of `make docs`; a warning is an error there."""
    verb = re.search(r"\$\(BIN\)/mkdocs (build .*)", (ROOT / "Makefile").read_text())
    assert verb is not None
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(  # noqa: S603 - our own words
        [sys.executable, "-m", "mkdocs", *verb[1].split(), "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "DISABLE_MKDOCS_2_WARNING": "true"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_every_document_is_a_page_and_every_decision_is_listed(site: Path) -> None:
    for document in DOCS.rglob("*.md"):
        assert (site / document.relative_to(DOCS).with_suffix(".html")).exists(), document
    listed = Parts(site / "decisions" / "index.html").leads
    for decision in (DOCS / "decisions").glob("0*.md"):
        assert decision.with_suffix(".html").name in listed


def test_no_link_is_broken_and_nothing_is_loaded_from_elsewhere(site: Path) -> None:
    pages = {page: Parts(page) for page in site.rglob("*.html") if page.name != "404.html"}
    assert len(pages) > 30
    for page, parts in pages.items():
        assert parts.loads, page
        for address in parts.loads:
            assert not urlsplit(address).netloc, (page.name, address)
        for address in [*parts.loads, *parts.leads]:
            there = urlsplit(address)
            if there.netloc or there.scheme:
                continue
            target = (page.parent / unquote(there.path)).resolve() if there.path else page
            target = target / "index.html" if target.is_dir() else target
            assert target.exists(), (page.name, address)
            if there.fragment and target in pages:
                assert unquote(there.fragment) in pages[target].anchors, (page.name, address)
    for sheet in site.rglob("*.css"):
        assert not re.findall(r"(?:url\(|@import)\s*[\"']?(?:https?:)?//[^)]*", sheet.read_text()), sheet


def test_what_is_meant_as_a_list_a_table_or_a_link_is_one(site: Path) -> None:
    """Python's Markdown wants an empty line before a list; other readers of these documents do not."""
    for page in site.rglob("*.html"):
        lines = Parts(page).words.splitlines()
        assert [line for line in lines if UNRENDERED.search(line)] == [], page.name


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""


@pytest.fixture
def address(site: Path) -> Iterator[str]:
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(site))) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        thread.join()


def test_a_browser_reads_and_searches_it_and_asks_no_other_machine(address: str) -> None:
    with chromium() as browser:
        visit = Visit(browser.new_page())
        visit.page.goto(f"{address}/index.html")
        visit.page.locator("article").get_by_role("link", name="the first ten minutes").click()
        visit.page.wait_for_url("**/first-steps.html")
        visit.page.locator("input[name=query]").fill("workload identity")
        visit.page.locator(".md-search-result__link").first.wait_for()
        visit.page.goto(f"{address}/runbooks.html#sensorstoragelag")
        assert visit.page.locator("#sensorstoragelag").is_visible()
        assert (visit.elsewhere, visit.errors) == ([], [])
