"""The page as it is in the package."""

import gzip
import hashlib
import json
import re
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from support.sending import sender

ROOT = Path(__file__).parents[2]
WEB = ROOT / "web"
PAGE = ROOT / "src" / "sensor_storage" / "page"
BROWSER = {"accept": "text/html,application/xhtml+xml,*/*;q=0.8"}


def _get(app: FastAPI) -> Callable[..., Any]:
    return partial(sender(app), "GET")


def _getting(tmp_path: Path) -> Callable[..., Any]:
    return _get(create_app(Layout(tmp_path / "raw"), ManualClock()))


def test_the_page_in_the_package_is_built_from_these_sources() -> None:
    sources = ["build.mjs", "package-lock.json", *(f"src/{path.name}" for path in (WEB / "src").iterdir())]
    digests = {name: hashlib.sha256((WEB / name).read_bytes()).hexdigest() for name in sources}
    assert json.loads((PAGE / "sources.json").read_text()) == digests, "run `make page`"


def test_the_page_weighs_less_than_150_kilobytes_compressed() -> None:
    weight = sum(len(gzip.compress(path.read_bytes())) for path in PAGE.iterdir())
    assert weight < 150_000


def test_browsers_get_the_page_at_the_root_and_programs_get_json(tmp_path: Path) -> None:
    get = _getting(tmp_path)
    page = get("/", headers=BROWSER)
    assert page.headers["content-type"].startswith("text/html")
    assert page.content == get("/explore").content
    index = get("/")
    assert index.json()["links"]["page"] == "explore"
    unchanged = get("/", headers={**BROWSER, "if-none-match": page.headers["etag"]})
    assert unchanged.status_code == 304


def test_the_page_has_a_strict_policy_no_inline_script_and_relative_addresses_only(tmp_path: Path) -> None:
    get = _getting(tmp_path)
    page = get("/explore")
    policy = page.headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self';")
    assert "unsafe" not in policy
    assert not re.search(r"<script(?![^>]*src=)|<style|\son\w+=|style=", page.text)
    for address in re.findall(r'(?:src|href)="([^"]*)"', page.text):
        assert not re.match(r"/|\w+:", address)
        assert get(f"/{address}").status_code == 200
    assert get("/page/app.js").headers["content-encoding"]
    assert get("/page/sources.json").status_code == 404


def test_the_page_works_below_a_base_path(tmp_path: Path) -> None:
    outer = FastAPI()
    outer.mount("/plant", create_app(Layout(tmp_path / "raw"), ManualClock()))
    get = _get(outer)
    page = get("/plant/explore")
    for address in re.findall(r'(?:src|href)="(page/[^"]*)"', page.text):
        assert get(f"/plant/{address}").status_code == 200


def test_the_document_names_every_parameter_of_a_link_and_shows_every_picture() -> None:
    link = (WEB / "src" / "link.ts").read_text()
    read = set(re.findall(r'\.(?:get|getAll)\("(\w+)"\)', link)) | {"a", "b"}
    text = (ROOT / "docs" / "explorer.md").read_text()
    section = text.split("## The link")[1].split("\n## ")[0]
    assert read == {
        name
        for row in re.findall(r"^\| (`.+?`) \|", section, re.MULTILINE)
        for name in re.findall(r"\w+", row)
    }
    pictures = {path.name for path in (ROOT / "docs" / "pictures").iterdir()}
    shown = {*re.findall(r"pictures/([\w-]+\.png)", text + (ROOT / "README.md").read_text())}
    assert shown <= pictures
    made = set(re.findall(r'yield "([\w-]+)"', (ROOT / "scripts" / "pictures.py").read_text()))
    assert {f"{name}.png" for name in made} == pictures
