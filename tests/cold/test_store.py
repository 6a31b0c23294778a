"""The contract of every cold store: one suite for a folder and for Azure Blob Storage as Azurite has it."""

import os
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from io import BytesIO
from itertools import count
from pathlib import Path
from uuid import uuid4

import psutil
import pytest

from sensor_storage.checks.cold import check_cold_store
from sensor_storage.cold.connect import Place, open_store, open_url, parse_connection_string, place_of
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.store import Changed, ColdStore, Page, Refused
from sensor_storage.config import load
from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.errors import Transient, Usage
from sensor_storage.storage.layout import Layout
from support.aggregates import LATER
from support.azurite import container, sas_token
from support.cloud import SLOW_DOWN, Answer, Asked, Cut, line_to
from support.cold import Plant
from support.opened import opening

_NAMES = count()


@pytest.fixture(scope="module")
def azurite(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Azurite]:
    with Azurite(tmp_path_factory.mktemp("azurite"), cache=cache_folder(os.environ)) as running:
        yield running


@pytest.fixture(params=["directory", "azurite", "azurite behind a poor line", "account"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[ColdStore]:
    name = f"contract-{next(_NAMES)}"
    if request.param == "directory":
        yield DirectoryStore(tmp_path / "cold")
    elif request.param == "azurite":
        yield container(request.getfixturevalue("azurite"), name)
    elif request.param == "azurite behind a poor line":
        with line_to(request.getfixturevalue("azurite")) as line:
            there = container(line, name, max_retries=10)
            line.fault = poor
            yield there
    else:
        url = os.environ.get(
            "SENSOR_STORAGE_TEST_URL"
        )  # a real account, by choice, with its settings beside it
        layout = Layout(tmp_path / "data" / "raw")
        yield (
            open_url(f"{url}/{name}-{uuid4().hex}", os.environ, layout)
            if url
            else DirectoryStore(tmp_path / "second")
        )


def poor(asked: Asked) -> Answer | Cut | None:
    """Much has to be asked twice, and nothing is done twice."""
    if asked.number % 3 == 1:
        return SLOW_DOWN
    return "in the request" if asked.number % 5 == 2 else None


def read(store: ColdStore, name: str) -> bytes | None:
    held = BytesIO()
    return held.getvalue() if store.download(name, held) else None


def test_what_was_written_is_read_with_etag_size_and_metadata(store: ColdStore) -> None:
    written = store.write("raw/a%2F/x.parquet", b"content", replaces=None, metadata={"digest": "abc"})
    seen = store.look("raw/a%2F/x.parquet")
    assert seen is not None
    assert (seen.etag, seen.size_bytes, dict(seen.metadata)) == (written.etag, 7, {"digest": "abc"})
    assert read(store, "raw/a%2F/x.parquet") == b"content"


def test_a_blob_that_is_not_there_is_none(store: ColdStore) -> None:
    assert store.look("nothing/here") is None
    assert read(store, "nothing/here") is None
    assert list(store.pages("nothing/")) == []
    store.delete("nothing/here")


def test_only_the_etag_named_is_replaced(store: ColdStore) -> None:
    first = store.write("x", b"one", replaces=None, metadata={})
    with pytest.raises(Changed):
        store.write("x", b"two", replaces=None, metadata={})
    second = store.write("x", b"two", replaces=first.etag, metadata={})
    assert second.etag != first.etag
    with pytest.raises(Changed):
        store.write("x", b"three", replaces=first.etag, metadata={})
    assert read(store, "x") == b"two"


def test_a_list_names_what_is_below_a_folder_in_order_with_the_same_etags(store: ColdStore) -> None:
    written = {
        name: store.write(name, b"x", replaces=None, metadata={}) for name in ("b/2", "b/1/z", "a", "b-")
    }
    listed = [blob for page in store.pages("b/") for blob in page]
    assert [blob.name for blob in listed] == ["b/1/z", "b/2"]
    assert [blob.etag.strip('"') for blob in listed] == [
        written[blob.name].etag.strip('"') for blob in listed
    ]
    assert sorted(blob.name for page in store.pages("") for blob in page) == sorted(written)


@pytest.mark.parametrize("limit", [1, 3, 100])
def test_pages_are_the_list_in_pieces_each_from_where_the_one_before_ended(
    store: ColdStore, limit: int
) -> None:
    names = ["a", "b-", "b/1-", "b/1.x", "b/1/x", "b/1/z", "b/10/x", "b/2", "c/1/x"]
    for name in names:
        store.write(name, b"x", replaces=None, metadata={})
    for prefix in ("", "b/", "b/1/", "d/"):
        expected = [name for name in names if name.startswith(prefix)]
        found = list(paged(store, prefix, limit))
        assert [blob.name for page in found for blob in page.blobs] == expected
        assert len(found) <= max(1, -(-len(expected) // limit))


def paged(store: ColdStore, prefix: str, limit: int) -> Iterator[Page]:
    """Page after page; one that did not come is asked for again."""
    cursor: str | None = ""
    while cursor is not None:
        try:
            page = store.page(prefix, cursor=cursor, limit=limit)
        except Transient:
            continue
        yield page
        cursor = page.next


def test_a_page_tells_the_tier_where_the_store_does(tmp_path: Path, azurite: Azurite) -> None:
    for tier, told in (("", "Hot"), ("Cool", "Cool")):
        store = container(azurite, f"contract-tier-{told.lower()}", tier=tier)
        store.write("x", b"x", replaces=None, metadata={})
        (blob,) = store.page("", cursor="", limit=10).blobs
        listed = next(iter(store.pages("")))[0]
        assert (blob.tier, replace(blob, tier=None)) == (told, listed)
    folder = DirectoryStore(tmp_path)
    folder.write("x", b"x", replaces=None, metadata={})
    assert folder.page("", cursor="", limit=10).blobs[0].tier is None


def test_each_page_of_a_folder_of_twenty_thousand_looks_at_as_much_as_the_first(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for asset in range(20):
        for hour in range(50):
            folder = tmp_path / f"raw/press-{asset:02}/2026/11/{hour // 24 + 1:02}/{hour % 24:02}"
            folder.mkdir(parents=True)
            for sensor in range(20):
                (folder / f"sensor-{sensor:02}.parquet").touch()
    store, looked, costs, names = DirectoryStore(tmp_path), Counter[str](), [], list[str]()
    cursor: str | None = ""
    stat = Path.stat
    monkeypatch.setattr(
        Path, "stat", lambda *words, **more: (looked.update(["stat"]), stat(*words, **more))[1]
    )
    while cursor is not None:
        with opening(tmp_path) as opened:
            page = store.page("raw/", cursor=cursor, limit=1000)
        costs.append((looked["stat"], len(opened.listed)))
        looked.clear()
        names += [blob.name for blob in page.blobs]
        cursor = page.next
    assert (len(costs), names) == (20, sorted(names))
    assert len(set(names)) == 20_000
    most, least = (tuple(map(pick, zip(*costs, strict=True))) for pick in (max, min))
    assert most[0] - least[0] <= 1  # whether one more follows
    assert most[1] - least[1] <= 10  # the folders above the place, beside some fifty that are read


def test_each_page_of_a_container_takes_one_request(azurite: Azurite) -> None:
    with line_to(azurite) as line:
        store = container(line, "contract-paged")
        for number in range(23):
            store.write(f"raw/{number:02}", b"x", replaces=None, metadata={})
        asked = len(line.asked)
        assert [len(page.blobs) for page in paged(store, "raw/", 5)] == [5, 5, 5, 5, 3]
        assert len(line.asked) - asked == 5


def test_a_cursor_that_is_none_is_told_as_such(azurite: Azurite) -> None:
    with line_to(azurite) as line:
        store = container(line, "contract-cursor")
        store.write("x", b"x", replaces=None, metadata={})
        line.fault = lambda _: Answer(400, "OutOfRangeInput")  # which the emulator does not say
        with pytest.raises(Usage, match="cursor"):
            store.page("", cursor="made up", limit=10)


def test_eight_writers_of_one_blob_lose_no_word(store: ColdStore) -> None:
    def work(number: int) -> None:
        for turn in range(10):
            while True:
                held = BytesIO()
                blob = store.download("words", held)
                text = held.getvalue() + f"{number}-{turn} ".encode()
                try:
                    store.write("words", text, replaces=blob.etag if blob else None, metadata={})
                    break
                except Changed:
                    continue

    with ThreadPoolExecutor(8) as pool:
        list(pool.map(work, range(8)))
    words = (read(store, "words") or b"").split()
    assert len(words) == len(set(words)) == 80


@pytest.mark.parametrize(
    "name", ["", "/x", "x/", "a//b", "../x", "a/./b", "a\\b", "a\0b", "a./b", "x" * 1025]
)
def test_a_name_that_some_store_would_change_is_refused(tmp_path: Path, name: str) -> None:
    with pytest.raises(Usage):
        DirectoryStore(tmp_path).write(name, b"", replaces=None, metadata={})


def test_a_wrong_key_and_a_missing_container_need_a_person(azurite: Azurite) -> None:
    wrong = container(azurite, "contract-wrong", key=KEY[:-4] + "AAA=", create=False)
    with pytest.raises(Refused):
        wrong.write("x", b"x", replaces=None, metadata={})
    missing = container(azurite, "contract-missing", create=False)
    with pytest.raises(Refused, match="ContainerNotFound"):
        missing.write("x", b"x", replaces=None, metadata={})


def test_a_sas_token_with_the_rights_told_is_enough_for_all_the_service_does_and_for_check(
    tmp_path: Path, azurite: Azurite
) -> None:
    """To read, create, write and list; not to delete."""
    token, endpoint = sas_token("rcwl"), azurite.endpoint
    store = open_store(
        Place("az://contract-sas", ACCOUNT, sas_token=token, endpoint=endpoint, create_container=True)
    )
    with closing(Plant(tmp_path, store)) as plant:
        plant.arrive(range(10))
        plant.all_stages()
        plant.arrive(range(10, 20))
        plant.all_stages()
        names = plant.local()
        assert {blob.name: blob.tier for blob in store.page("", cursor="", limit=100).blobs} == dict.fromkeys(
            names, "Hot"
        )
        assert plant.clean(LATER + 30 * 86_400).removed == len(names)
        assert plant.offsets() == list(range(0, 20, 2))
    (finding,) = check_cold_store(store)
    assert (finding.state, "stays there" in finding.what) == ("good", True)


def test_a_store_that_does_not_answer_is_tried_again_later(tmp_path: Path) -> None:
    place = Place("az://c", account=ACCOUNT, key=KEY, endpoint="http://127.0.0.1:9/devstore", max_retries=0)
    with pytest.raises(Transient):
        open_store(place).look("x")
    (tmp_path / "cold").write_text("a file, no folder")
    with pytest.raises(Transient):
        DirectoryStore(tmp_path / "cold").write("x", b"x", replaces=None, metadata={})


def test_a_connection_string_is_taken_apart_and_never_shown() -> None:
    text = "DefaultEndpointsProtocol=https;AccountName=plant;AccountKey=c2VjcmV0==;EndpointSuffix=core.windows.net"
    assert parse_connection_string(text) == {
        "account_name": "plant",
        "account_key": "c2VjcmV0==",
        "endpoint": "https://plant.blob.core.windows.net",
    }
    with pytest.raises(Usage) as error:
        parse_connection_string("AccountKey=c2VjcmV0==")
    assert "c2VjcmV0" not in str(error.value)
    assert "c2VjcmV0" not in repr(Place("az://c", key="c2VjcmV0"))


def test_a_container_can_be_made_by_a_key_or_token_alone_and_only_where_there_are_containers() -> None:
    given = {"AZURE_CREATE_CONTAINER": "true", "AZURE_STORAGE_ACCOUNT": "plant"}
    with pytest.raises(Usage, match="needs an account key or a SAS token"):
        place_of(load(given).cold)
    for more in ({"AZURE_STORAGE_KEY": KEY}, {"COLD_STORE_URL": "file:///mnt/cold"}):
        assert place_of(load({**given, **more}).cold)


@pytest.mark.parametrize("url", ["ftp://x", "nonsense", "http://host/x"])
def test_a_url_of_no_known_store_is_refused_with_those_there_are(url: str) -> None:
    with pytest.raises(Usage) as error:
        open_store(Place(url))
    assert "az://" in error.value.hint


def test_the_emulator_talks_to_nobody_else_and_is_gone_once_it_is_stopped(tmp_path: Path) -> None:
    with Azurite(tmp_path / "azurite", cache=cache_folder(os.environ)) as running:
        container(running, "telling").write("x", b"x", replaces=None, metadata={})
        process = psutil.Process(running.pid)
        links = process.net_connections("tcp")
        assert {link.laddr.ip for link in links} == {"127.0.0.1"}
    assert not running._answers()
    assert not process.is_running()
