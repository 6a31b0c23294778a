"""One blob that is missing or damaged, whose file is not on this disk any more: named, and in nobody's way."""

from pathlib import Path

import pytest

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.storage.layout import Layout
from support.aggregates import LATER
from support.cold import Plant, blobs, directory, flip
from support.command import Run
from support.trees import HOUR

HOURS = 4


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """A folder as the cold store, which is set."""
    store = directory(tmp_path)
    monkeypatch.setenv("COLD_STORE_URL", store.url)
    return store


@pytest.fixture
def names(layout: Layout, store: DirectoryStore) -> list[str]:
    """The blobs of some sensor-hours whose files were cleaned away."""
    plant = Plant(layout.root, store)
    for hour in range(HOURS):
        plant.arrive(range(hour * 100, hour * 100 + 100), hour=HOUR + hour)
    plant.all_stages()
    assert plant.clean(LATER + 30 * 86_400).removed
    assert plant.local() == []
    plant.close()
    return sorted(blobs(store, "raw/"))


def test_a_lost_blob_whose_file_is_gone_is_a_loss_and_said_in_the_last_line(
    run: Run, store: DirectoryStore, names: list[str]
) -> None:
    assert run("verify", "--cold", "--full").out.splitlines()[-1].startswith("No loss, no duplicate.")
    gone, flipped, *_ = names
    store.delete(gone)
    flip(store, flipped)
    done = run("verify", "--cold", "--full")
    assert done.code == 1
    assert "No loss" not in done.out
    told, last = done.out.splitlines()[-2:]
    assert "2 blobs are missing, damaged or differ, 2 are not on this disk either" in told
    assert last.startswith("2 problems found.")
    summary = run("verify", "--cold", "--full", "--json").lines()[-1]
    assert (summary["clean"], summary["findings"]) == (False, 2)
    assert (summary["cold"]["-"], summary["cold"]["!"], summary["cold"]["lost"]) == (1, 1, 2)


def test_the_damage_of_a_blob_is_told_by_its_name_and_not_by_where_it_was_looked_at(
    run: Run, store: DirectoryStore, names: list[str]
) -> None:
    flip(store, names[0])
    (line,) = (one for one in run("verify", "--cold", "--full").out.splitlines() if one.startswith("!"))
    assert line.startswith(f"! {names[0]}: the bytes differ")


def test_blobs_without_a_receipt_are_named_in_json_and_with_v(
    run: Run, store: DirectoryStore, names: list[str]
) -> None:
    other = "raw/other.parquet"
    store.write(other, b"theirs", replaces=None, metadata={})
    assert other not in run("verify", "--cold").out
    assert f"+ {other}: no receipt" in run("verify", "--cold", "-v").out
    found = [one["name"] for one in run("verify", "--cold", "--json").lines() if one.get("cold") == "+"]
    assert other in found
    assert not set(found) & set(names)


@pytest.mark.parametrize("into", [(), ("--into", "copies")], ids=["in their place", "into a folder"])
def test_a_bad_blob_keeps_no_other_from_coming_back(
    run: Run, layout: Layout, store: DirectoryStore, names: list[str], into: tuple[str, ...]
) -> None:
    gone, flipped, *sound = names
    store.delete(gone)
    flip(store, flipped)
    done = run("restore", *into)
    assert done.code == 1
    root = layout.root.parent / "copies" if into else layout.root
    assert sorted(path.relative_to(root).as_posix() for path in (root / "raw").rglob("*.parquet")) == sound
    lost, damaged, *_ = done.out.splitlines()
    assert f"{gone} is not in {store.url} any more" in lost
    assert f"{flipped} in {store.url} is damaged: the bytes differ" in damaged
    assert "verify --cold --full" in lost
    assert "verify --repair" in damaged
    assert "cache/" not in done.out + done.err
