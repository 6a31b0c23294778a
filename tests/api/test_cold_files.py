"""`/azure/files`, as a client sees it: what the cold store has, with receipts, in pages or as lines."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.clock import ManualClock
from support.aggregates import LATER
from support.cold import FaultyStore, Plant, away, directory
from support.sending import Send, sender
from support.trees import HOUR


@pytest.fixture
def plant(tmp_path: Path) -> Iterator[Plant]:
    """Twelve hours are uploaded, and a blob that nobody has a receipt for."""
    one = Plant(tmp_path / "data", FaultyStore(directory(tmp_path)))
    for hour in range(12):
        one.arrive(range(hour * 10, hour * 10 + 10), hour=HOUR + hour)
    one.compact()
    one.upload()
    one.store.write("raw/a/x", b"foreign", replaces=None, metadata={})
    yield one
    one.close()


@pytest.fixture
def app(plant: Plant) -> FastAPI:
    return create_app(plant.layout, ManualClock(LATER), store=plant.store)


@pytest.fixture
def send(app: FastAPI) -> Send:
    return sender(app)


def pages(send: Send, **asked: Any) -> Iterator[list[dict[str, Any]]]:  # noqa: ANN401 - as is sent
    cursor = ""
    while cursor is not None:
        told = send("GET", "/azure/files", params={**asked, "cursor": cursor}).json()
        yield told["files"]
        cursor = told["next"]


@pytest.mark.parametrize("prefix", ["../", "raw/../../", "..", "/../..//", "\0", "raw/\0", "raw/./a"])
@pytest.mark.parametrize("stream", [False, True])
def test_no_prefix_leads_out_of_the_store(send: Send, prefix: str, stream: bool) -> None:
    answer = send("GET", "/azure/files", params={"prefix": prefix, "stream": stream})
    assert (answer.status_code, answer.json()["parameter"]) == (422, "prefix")


def test_blobs_are_told_with_size_tier_and_receipt_in_order(send: Send, plant: Plant) -> None:
    (found,) = pages(send)
    assert [one["name"] for one in found] == sorted(["raw/a/x", *plant.local()])
    foreign, *ours = found
    assert (foreign["size_bytes"], foreign["receipt"]) == (7, None)
    for one in ours:
        assert one["size_bytes"] == one["receipt"]["size_bytes"] > 0
        assert (one["tier"], one["receipt"]["etag"]) == (None, one["etag"])


@pytest.mark.parametrize("limit", [1, 5, 24, 25])
def test_pages_and_lines_are_the_same_blobs(send: Send, limit: int) -> None:
    (whole,) = pages(send)
    few = list(pages(send, limit=limit))
    assert [one for page in few for one in page] == whole
    assert {len(page) for page in few[:-1]} <= {limit}
    lines = send("GET", "/azure/files", params={"stream": "true"}).text.splitlines()
    assert [json.loads(line) for line in lines] == whole
    lines = send("GET", "/azure/files", params={"stream": "true", "limit": limit}).text.splitlines()
    assert [json.loads(line) for line in lines] == whole[:limit]


@pytest.mark.parametrize("prefix", ["raw/press-1", "/raw/press-1/"])
def test_a_prefix_is_a_folder(send: Send, plant: Plant, prefix: str) -> None:
    (found,) = pages(send, prefix=prefix)
    assert [one["name"] for one in found] == plant.local()
    assert list(pages(send, prefix="raw/press")) == [[]]


@pytest.mark.parametrize("stream", ["true", "false"])
def test_a_store_that_is_away_is_no_empty_store(send: Send, plant: Plant, stream: str) -> None:
    assert isinstance(plant.store, FaultyStore)
    plant.store.before = away
    answer = send("GET", "/azure/files", params={"stream": stream})
    assert (answer.status_code, answer.json()["detail"]) == (503, "the store is away")
