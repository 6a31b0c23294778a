"""A folder as cold store, as an operator may set it wrong: told before anything is read, written or removed."""

import shutil
from contextlib import closing
from pathlib import Path

import pytest

from sensor_storage.api.app import create_app
from sensor_storage.clock import SystemClock
from sensor_storage.cold.apart import check_apart
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ColdStatus, write_status
from sensor_storage.verbs import restore
from support.cold import Plant, directory
from support.command import Run
from support.sending import sender
from support.workers import cold_workers


@pytest.mark.parametrize(
    "verb",
    [
        "check --only cold",
        "run",
        "upload",
        "cleanup",
        "verify --cold",
        "rebuild",
        "restore",
        "restore --rewind",
    ],
)
@pytest.mark.parametrize("inside", ["", "raw", "raw/press-1", "staging/x"])
def test_a_cold_store_that_is_the_data_directory_is_refused_by_every_verb_and_every_reading_stays(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch, verb: str, inside: str
) -> None:
    plant = Plant(layout.root, directory(layout.root.parent))
    plant.arrive(range(10))
    plant.compact()
    plant.close()
    before = plant.local()
    assert before
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    monkeypatch.setenv("COLD_STORE_URL", (layout.root / inside).as_uri())
    done = run(*verb.split())
    assert done.code == 2, done
    assert "COLD_STORE_URL" in done.err
    assert plant.local() == before


def test_links_and_the_folders_above_are_seen_through_by_path_and_by_inode(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "plant" / "raw" / "data" / "raw")
    layout.raw.mkdir(parents=True)
    (tmp_path / "link").symlink_to(layout.root)
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "raw").symlink_to(layout.raw)
    for store in ("link", "link/raw/press-1", "store", "plant", "plant/raw/data/../data"):
        with pytest.raises(Usage):
            check_apart(tmp_path / store, layout)


def test_a_folder_whose_raw_folder_has_another_name_is_told_by_that_name(tmp_path: Path) -> None:
    with pytest.raises(Usage):
        check_apart(tmp_path, Layout(tmp_path / "readings"))


@pytest.mark.parametrize("store", ["data/cold", "cold", "."])
def test_a_folder_of_its_own_beside_the_raw_folder_or_elsewhere_is_a_cold_store(
    tmp_path: Path, store: str
) -> None:
    check_apart(tmp_path / store, Layout(tmp_path / "data" / "raw"))


@pytest.mark.parametrize("url", ["file://mnt/cold", "file:mnt/cold", "file://cold"])
@pytest.mark.parametrize("verb", ["config check", "upload"])
def test_a_folder_that_is_not_named_from_the_root_on_is_refused_with_the_three_slashes_it_takes(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch, url: str, verb: str
) -> None:
    layout.raw.mkdir(parents=True)
    monkeypatch.setenv("COLD_STORE_URL", url)
    done = run(*verb.split())
    assert done.code == 2
    assert "three slashes: file:///" in done.err


def test_a_file_in_the_folders_place_is_a_store_that_is_away_for_every_verb_and_for_the_api(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(layout.root, directory(layout.root.parent))
    plant.arrive(range(10))
    plant.compact()
    plant.close()
    place = layout.root.parent / "file"
    place.write_text("no folder")
    monkeypatch.setenv("COLD_STORE_URL", place.as_uri())
    done = run("upload")
    assert done.code == 3
    assert "Not a directory" in done.err
    assert "till the store is there again" in done.out
    done = run("verify", "--cold")
    assert done.code == 4
    assert "Not a directory" in done.err
    app = create_app(layout, SystemClock(), store=DirectoryStore(place))
    answer = sender(app)("GET", "/azure/files")
    assert answer.status_code == 503
    assert "Not a directory" in answer.json()["detail"]


def test_verbs_say_that_the_folder_uploaded_to_is_not_mounted_and_make_none(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    plant = Plant(layout.root, directory(layout.root.parent))
    plant.arrive(range(10))
    plant.compact()
    plant.close()
    cold = layout.root.parent / "cold"
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    monkeypatch.setenv("COLD_STORE_URL", cold.as_uri())
    assert run("upload").code == 0
    before = plant.local()
    cold.rename(cold.with_name("away"))
    for verb, code in (("cleanup", 4), ("verify --cold", 4), ("check --only cold", 1)):
        done = run(*verb.split())
        assert done.code == code, done
        assert "mounted?" in done.out + done.err
    assert plant.local() == before
    assert not cold.exists()
    cold.with_name("away").rename(cold)
    assert run("cleanup").code == 0
    assert not plant.local()


def stored(run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Files that are here and proven to be in the folder."""
    with closing(Plant(layout.root, directory(layout.root.parent))) as plant:
        plant.arrive(range(10))
        plant.compact()
        monkeypatch.setenv("COLD_STORE_URL", (layout.root.parent / "cold").as_uri())
        assert run("upload").code == 0
        return plant.local()


def local(layout: Layout) -> list[str]:
    trees = (layout.raw, layout.aggregated)
    return sorted(layout.relative(path) for tree in trees for path in tree.rglob("*.parquet"))


def test_a_cleanup_on_request_removes_nothing_while_the_share_is_not_mounted_and_says_so(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, cold = stored(run, layout, monkeypatch), layout.root.parent / "cold"
    cold.rename(cold.with_name("away"))
    cold.mkdir()
    with cold_workers(layout) as send:
        for asked in ("", "&dry_run=true"):
            answer = send("POST", f"/cleanup/trigger?wait=30{asked}")
            assert (answer.status_code, "mounted?" in answer.json()["hint"]) == (503, True)
        done = run("cleanup")
        assert (done.code, "mounted?" in done.err) == (1, True)
        assert local(layout) == before
        assert not list(cold.iterdir())
        cold.rmdir()
        cold.with_name("away").rename(cold)
        assert send("POST", "/cleanup/trigger?wait=30").json()["removed"] == len(before)
        assert local(layout) == []


@pytest.mark.parametrize("setting", [{"CLEANUP_ENABLED": "false"}, {"CLEANUP_DRY_RUN": "true"}])
def test_where_nothing_may_go_a_request_only_tells_what_would(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch, setting: dict[str, str]
) -> None:
    before = stored(run, layout, monkeypatch)
    with cold_workers(layout, **setting) as send:
        told = send("POST", "/cleanup/trigger?wait=30").json()
        assert (told["dry_run"], told["removed"]) == (True, len(before))
        assert f"{len(before)} files would be removed" in run("cleanup").out
    for name, value in {"CLEANUP_AGE_DAYS": "0", **setting}.items():
        monkeypatch.setenv(name, value)
    assert f"{len(before)} files would be removed" in run("cleanup").out
    assert local(layout) == before


def test_that_only_the_first_files_are_named_is_told(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = len(stored(run, layout, monkeypatch))
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    assert "are named" not in run("cleanup", "--dry-run").err
    monkeypatch.setattr("sensor_storage.cold.cleanup._TOLD", 1)
    assert f"the first 1 of {files} files are named" in run("cleanup", "--dry-run").err


@pytest.fixture
def uploaded(run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that has all files of the data directory, where none is left."""
    plant = Plant(layout.root, directory(layout.root.parent))
    plant.arrive(range(10))
    plant.compact()
    plant.close()
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    monkeypatch.setenv("COLD_STORE_URL", (layout.root.parent / "cold").as_uri())
    assert (run("upload").code, run("cleanup").code) == (0, 0)
    return layout.root.parent / "cold"


def tell_place(layout: Layout, url: str) -> None:
    """The worker beside the cold store has said where that is, and ended."""
    write_status(layout, ColdStatus(worker="cold", pid=1, time=0, started=0, url=url))


def test_verbs_that_read_the_store_find_the_folder_the_service_last_said_it_uploads_to(
    run: Run, layout: Layout, uploaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("COLD_STORE_URL")
    assert (run("verify", "--cold").code, run("restore").code) == (2, 2)
    assert "none is set" in run("check", "--only", "cold").out
    tell_place(layout, uploaded.as_uri())
    assert f"{uploaded.as_uri()} takes, gives and lists blobs" in run("check", "--only", "cold").out
    for words in (["--cold"], ["--cold", "--full"]):
        done = run("verify", *words, "--json")
        assert (done.code, done.lines()[-1]["cold"]["="] > 2) == (0, True)
    assert run("rebuild").code == 0
    assert run("restore", "--json").lines()[-1]["files"] == 2
    assert {layout.relative(path) for path in layout.raw.rglob("*.parquet")} == {
        path.relative_to(uploaded).as_posix() for path in (uploaded / "raw").rglob("*.parquet")
    }


@pytest.mark.usefixtures("uploaded")
@pytest.mark.parametrize("verb", ["verify --cold", "restore", "upload", "cleanup"])
def test_a_store_elsewhere_that_the_service_uploads_to_is_named_where_none_is_set(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch, verb: str
) -> None:
    monkeypatch.delenv("COLD_STORE_URL")
    tell_place(layout, "az://plant")
    done = run(*verb.split())
    assert done.code == 2
    assert "no cold store is set; the service of this directory uploads to az://plant" in done.err
    assert "COLD_STORE_URL" in done.err


def test_a_rebuild_without_the_store_the_service_uploads_to_is_refused_and_forgets_only_if_told_so(
    run: Run, layout: Layout, uploaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    readings = run("verify", "--json").lines()[-1]["readings"]
    assert readings > 0
    monkeypatch.delenv("COLD_STORE_URL")
    tell_place(layout, "az://plant")
    before = content(layout.root)
    done = run("rebuild")
    assert (done.code, "what is only there would be forgotten" in done.err) == (2, True)
    assert content(layout.root) == before
    assert run("rebuild", "--local-only", "--json").lines()[-1]["files"] == 0
    assert run("rebuild", "aggregates", "--local-only").code == 2
    tell_place(layout, uploaded.as_uri())  # a folder that is told is found, but not asked either
    assert run("rebuild", "--local-only", "--json").lines()[-1]["files"] == 0
    monkeypatch.setenv("COLD_STORE_URL", uploaded.as_uri())
    assert run("rebuild", "--local-only").code == 2
    assert run("rebuild").code == 0
    assert run("verify", "--json").lines()[-1]["readings"] == readings


def test_who_may_change_the_store_or_the_disk_does_it_by_what_is_set_or_asks_the_service(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = stored(run, layout, monkeypatch)
    monkeypatch.delenv("COLD_STORE_URL")
    monkeypatch.setenv("CLEANUP_AGE_DAYS", "0")
    tell_place(layout, (layout.root.parent / "cold").as_uri())
    assert (run("upload").code, run("cleanup").code) == (2, 2)
    assert local(layout) == before
    with cold_workers(layout):
        assert run("upload").code == 0
        assert f"{len(before)} files removed" in run("cleanup").out
    assert local(layout) == []


def content(root: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in root.rglob("*") if path.is_file()}


@pytest.mark.usefixtures("uploaded")
@pytest.mark.parametrize("into", ["", "raw", "raw/new"])
def test_copies_are_not_put_into_the_tree_they_are_of(run: Run, layout: Layout, into: str) -> None:
    before = content(layout.root)
    done = run("restore", "--into", str(layout.root / into))
    assert (done.code, "is in the data directory" in done.err) == (2, True)
    assert content(layout.root) == before


@pytest.mark.usefixtures("uploaded")
def test_a_time_that_ends_before_it_begins_is_refused(run: Run) -> None:
    done = run("restore", "--from", "2026-11-28", "--to", "2026-11-27")
    assert (done.code, "is not before --to" in done.err) == (2, True)


@pytest.mark.parametrize("instead", ["nothing", "an empty folder"])
@pytest.mark.parametrize("verb", ["restore", "restore --dry-run", "restore --into week"])
def test_files_come_back_only_from_the_folder_they_went_to(
    run: Run, layout: Layout, uploaded: Path, instead: str, verb: str
) -> None:
    uploaded.rename(uploaded.with_name("away"))
    if instead == "an empty folder":
        uploaded.mkdir()
    before = content(layout.root)
    done = run(*verb.split())
    assert (done.code, "mounted?" in done.err) == (4, True)
    assert content(layout.root) == before
    assert not list(uploaded.glob("*")) + list(layout.root.parent.glob("week"))
    shutil.rmtree(uploaded, ignore_errors=True)
    uploaded.with_name("away").rename(uploaded)
    assert run(*verb.split()).code == 0


@pytest.mark.parametrize("instead", ["nothing", "an empty folder"])
@pytest.mark.parametrize("words", ["", "--dry-run", "--service one"])
def test_a_new_disk_takes_no_unmounted_share_for_a_store_that_has_nothing(
    run: Run, layout: Layout, uploaded: Path, instead: str, words: str
) -> None:
    shutil.rmtree(layout.root)
    uploaded.rename(uploaded.with_name("away"))
    if instead == "an empty folder":
        uploaded.mkdir()
    done = run("restore", "--rewind", *words.split())
    assert done.code == 4
    assert f"{uploaded} is no store: nothing was ever uploaded there" in done.err
    assert "mounted" in done.err
    assert not layout.root.exists()
    assert not list(uploaded.glob("*"))


def test_a_store_that_no_service_published_to_is_told_as_such(
    run: Run, layout: Layout, uploaded: Path
) -> None:
    shutil.rmtree(layout.root)
    shutil.rmtree(uploaded / "services")
    done = run("restore", "--rewind")
    assert done.code == 2
    assert f"no service has published safe offsets in {uploaded.as_uri()}" in done.err
    assert not layout.root.exists()


def test_a_share_that_goes_while_a_new_disk_is_made_is_missed_and_the_next_call_makes_it_whole(
    run: Run, layout: Layout, uploaded: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.rmtree(layout.root)

    def goes(*_: object) -> None:
        uploaded.rename(uploaded.with_name("away"))
        uploaded.mkdir()

    monkeypatch.setattr(restore, "_offsets", lambda *_: {})
    monkeypatch.setattr(restore, "_set_back", goes)
    done = run("restore", "--rewind")
    assert (done.code, "mounted?" in done.err) == (4, True)
    uploaded.rmdir()
    uploaded.with_name("away").rename(uploaded)
    monkeypatch.setattr(restore, "_set_back", lambda *_: None)
    done = run("restore", "--rewind", "--json")
    assert (done.code, done.lines()[-1]["files"]) == (0, 2)


def test_a_lost_catalog_is_made_again_from_the_folder_and_from_no_unmounted_share(
    run: Run, layout: Layout, uploaded: Path
) -> None:
    uploaded.rename(uploaded.with_name("away"))
    before = content(layout.root)
    done = run("rebuild")
    assert (done.code, "mounted?" in done.err) == (4, True)
    assert content(layout.root) == before
    uploaded.with_name("away").rename(uploaded)
    for path in layout.root.glob("catalog.db*"):
        path.unlink()
    assert run("rebuild").code == 0
    assert "files brought back, 0 refused, 0 missing" in run("restore").out
    assert {layout.relative(path) for path in layout.raw.rglob("*.parquet")} == {
        path.relative_to(uploaded).as_posix() for path in (uploaded / "raw").rglob("*.parquet")
    }
