"""The same rows from a directory, a cold store and the service, and errors that say what to do."""

import gc
import json
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from sensor_storage.client import Plant, connect
from sensor_storage.clock import SystemClock
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.keepsakes import Keepsakes
from sensor_storage.cold.mark import open_folder
from sensor_storage.cold.upload import UploadReport
from sensor_storage.errors import NoColdStore, SensorStorageError, Transient, Usage
from sensor_storage.query.times import as_text
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import ColdStatus, write_status
from support.aggregates import DAY, LATER, SECOND, Reading, aggregate, arrive, readings_at
from support.cold import Plant as ColdPlant
from support.listening import listening_at
from support.trees import stage

ROWS = [Reading(DAY + second * SECOND, float(second)) for second in range(0, 5000, 5)]
SPAN: dict[str, Any] = {"start": as_text(DAY), "end": as_text(DAY + 86_400 * SECOND)}


@pytest.fixture(scope="module")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    layout = Layout(tmp_path_factory.mktemp("data") / "raw")
    arrive(layout, ROWS)
    aggregate(layout)
    return layout


@pytest.fixture(scope="module")
def address(layout: Layout) -> Iterator[str]:
    with listening_at(layout) as found:
        yield found


@pytest.fixture(params=["directory", "service"])
def plant(request: pytest.FixtureRequest, layout: Layout, address: str) -> Plant:
    return connect(layout.root if request.param == "directory" else address)


def test_three_lines_give_an_arrow_table(plant: Plant) -> None:
    table = plant.query("press-1", "temperature", resolution="raw", **SPAN)
    assert table["value"].to_pylist() == [row.value for row in ROWS]
    minutes = plant.query("press-1", "temperature", resolution="minute", **SPAN)
    assert (minutes.num_rows, sum(row["count"] for row in minutes.to_pylist())) == (84, len(ROWS))
    assert plant.query("press-1", resolution="raw", max_points=40, **SPAN).num_rows <= 48


def test_both_ways_give_the_same_rows(layout: Layout, address: str) -> None:
    for resolution in ("raw", "minute", "hour", "day"):
        here = connect(layout.root).query(**SPAN, resolution=resolution)
        there = connect(address).query(**SPAN, resolution=resolution)
        assert there.to_pylist() == here.to_pylist()
        assert there.schema.metadata == here.schema.metadata


@pytest.fixture
def stored(tmp_path: Path) -> Iterator[ColdPlant]:
    """A directory whose files are all uploaded and gone from it."""
    store = DirectoryStore(tmp_path / "store")
    with closing(ColdPlant(tmp_path / "data", store)) as plant:
        stage(plant.layout, readings_at(ROWS, range(len(ROWS))), number=1, start=0, stop=len(ROWS))
        plant.all_stages()
        yield plant


def told_to_be_at(plant: ColdPlant, url: str) -> None:
    """The worker beside the cold store has said where that is, and ended."""
    write_status(plant.layout, ColdStatus(worker="cold", pid=1, time=0, started=0, url=url))


def test_a_directory_whose_service_uploads_to_a_folder_lacks_nothing_without_any_setting(
    layout: Layout, stored: ColdPlant
) -> None:
    stored.clean()
    assert stored.local() == []
    told_to_be_at(stored, stored.store.url)
    there, whole = connect(stored.layout.root), connect(layout.root)
    for resolution in ("raw", "minute", "hour", "day"):
        asked = {**SPAN, "resolution": resolution}
        assert there.query(**asked).to_pylist() == whole.query(**asked).to_pylist()
    assert [one["value"] for one in there.latest()] == [4995.0]


@pytest.mark.parametrize("url", ["az://plant", "file:///not/to/be/seen/here", ""])
def test_an_answer_that_needs_a_cold_store_nobody_set_is_an_error_and_never_fewer_rows(
    stored: ColdPlant, url: str
) -> None:
    stored.clean()
    told_to_be_at(stored, url)
    there = connect(stored.layout.root)
    for resolution, files in (("raw", 2), ("minute", 2), ("hour", 1), ("day", 1)):
        with pytest.raises(NoColdStore, match=f"{files} file.* of this answer") as caught:
            there.rows(**{**SPAN, "resolution": resolution})
        assert url in caught.value.message
        assert "COLD_STORE_URL" in caught.value.hint
    with pytest.raises(NoColdStore, match="temperature"):
        there.latest()
    with pytest.raises(NoColdStore):
        there.query(resolution="day", tz="Asia/Kolkata", **SPAN)


@pytest.mark.parametrize("remembered", [True, False])
@pytest.mark.parametrize("named", [True, False])
def test_an_unmounted_share_is_no_store_that_lost_its_blobs(
    tmp_path: Path, layout: Layout, *, remembered: bool, named: bool
) -> None:
    """Whether the data directory remembers the store's word or only has receipts."""
    cold, root = tmp_path / "store", tmp_path / "data"
    with closing(ColdPlant(root, open_folder(cold, Layout(root / "raw"), may_mark=True))) as plant:
        stage(plant.layout, readings_at(ROWS, range(len(ROWS))), number=1, start=0, stop=len(ROWS))
        plant.all_stages()
        plant.clean()
        told_to_be_at(plant, cold.as_uri())
        if not remembered:
            plant.layout.cold_store_id.unlink()
    cold.rename(tmp_path / "away")
    cold.mkdir()
    asked = {**SPAN, "resolution": "raw"}
    there = connect(root, cold_store=cold.as_uri() if named else None)
    for ask in (there.latest, lambda: there.query(**asked)):
        with pytest.raises(Transient) as caught:
            ask()
        assert "mounted?" in caught.value.hint
    cold.rmdir()
    (tmp_path / "away").rename(cold)
    whole = connect(layout.root).query(**asked).to_pylist()
    assert connect(root, cold_store=cold.as_uri() if named else None).query(**asked).to_pylist() == whole


@pytest.mark.parametrize("made", [True, False])
def test_a_share_that_is_not_mounted_is_told_apart_from_a_store_that_has_nothing(
    tmp_path: Path, *, made: bool
) -> None:
    cold = tmp_path / "cold"
    if made:
        cold.mkdir()
    with pytest.raises(Transient, match="nothing was ever uploaded there") as caught:
        connect(cold.as_uri())
    assert "mounted" in caught.value.hint
    assert list(tmp_path.rglob("*")) == [cold] * made
    open_folder(cold, Layout(tmp_path / "data" / "raw"), may_mark=True).check()
    assert connect(cold.as_uri()).assets() == []


def test_a_data_directory_is_not_its_own_cold_store(layout: Layout) -> None:
    with pytest.raises(Usage, match="its own copy there"):
        connect(layout.root, cold_store=layout.root.as_uri())


def test_files_that_are_here_need_no_cold_store_whatever_the_catalog_says(
    layout: Layout, stored: ColdPlant
) -> None:
    stored.clean()
    shutil.copytree(stored.layout.root.parent / "store" / "raw", stored.layout.raw, dirs_exist_ok=True)
    whole = connect(layout.root).query(resolution="raw", **SPAN)
    assert connect(stored.layout.root).query(resolution="raw", **SPAN).to_pylist() == whole.to_pylist()


@pytest.mark.parametrize("told", [True, False])
def test_a_cold_store_alone_gives_the_same_rows_by_its_url(
    layout: Layout, stored: ColdPlant, told: bool
) -> None:
    """Also where no service has told yet what it uploaded."""
    if told:
        Keepsakes(stored.layout, stored.catalog, stored.store, "one", "group").run_once(LATER, UploadReport())
    there = connect(stored.store.url)
    for resolution in ("raw", "minute", "hour", "day"):
        assert (
            there.query(**SPAN, resolution=resolution).to_pylist()
            == connect(layout.root).query(**SPAN, resolution=resolution).to_pylist()
        )
    assert there.assets() == ["press-1"]
    assert [one["value"] for one in there.latest()] == [4995.0]
    assert there.query("press-1", max_points=40, **SPAN).num_rows <= 48


def test_what_a_store_has_of_several_services_is_read_as_one_and_stale_minutes_are_not_believed(
    tmp_path: Path, stored: ColdPlant
) -> None:
    Keepsakes(stored.layout, stored.catalog, stored.store, "one", "group").run_once(LATER, UploadReport())
    with closing(ColdPlant(tmp_path / "other", stored.store)) as other:
        late = [*ROWS, Reading(DAY + 7, 9_999.0)]
        stage(other.layout, readings_at(late, [len(ROWS)]), number=1, start=len(ROWS), stop=len(late))
        other.compact()
        other.upload()  # the hour's blob has its reading now, and no aggregate knows of it
        Keepsakes(other.layout, other.catalog, other.store, "two", "group").run_once(LATER, UploadReport())
    there = connect(stored.store.url)
    raw = there.query(resolution="raw", **SPAN).to_pylist()
    assert sorted(row["value"] for row in raw) == sorted(row.value for row in late)
    for resolution in ("minute", "hour", "day"):
        windows = there.query(resolution=resolution, **SPAN).to_pylist()
        assert sum(row["count"] for row in windows) == len(late)
        assert max(row["max"] for row in windows) == 9_999.0


def test_a_damaged_blob_is_told_of_and_the_others_are_read(stored: ColdPlant) -> None:
    path = next(iter(sorted(Path(stored.store.url.removeprefix("file://")).rglob("temperature.parquet"))))
    path.write_bytes(path.read_bytes()[:-9])
    table = connect(stored.store.url).query(resolution="raw", **SPAN)
    assert 0 < table.num_rows < len(ROWS)
    (warning,) = json.loads((table.schema.metadata or {})[b"sensor_storage"])["warnings"]
    assert "temperature.parquet is damaged" in warning


def test_what_was_fetched_of_a_store_goes_with_its_reader(
    stored: ColdPlant, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = stored.layout.root.parent / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    there = connect(stored.store.url)
    assert there.query(resolution="raw", **SPAN).num_rows == len(ROWS)
    assert len(list(folder.iterdir())) == 1
    del there
    gc.collect()
    assert list(folder.iterdir()) == []


def test_assets_and_latest(plant: Plant) -> None:
    assert plant.assets() == ["press-1"]
    (last,) = plant.latest()
    assert (last["sensor_name"], last["value"], last["unit"]) == ("temperature", 4995.0, "°C")


@pytest.mark.parametrize(
    ("asked", "word"),
    [
        ({"start": "soon"}, "soon"),
        ({"tz": "Nowhere"}, "Nowhere"),
        ({"start": "now", "end": "-1h"}, "not after"),
        ({"asset": "nobody"}, "nobody"),
    ],
)
def test_what_cannot_be_asked_says_why(plant: Plant, asked: dict[str, Any], word: str) -> None:
    with pytest.raises(SensorStorageError, match=word) as caught:
        plant.query(**asked)
    assert caught.value.hint


def test_nobody_there_says_what_to_look_at(tmp_path: Path) -> None:
    with pytest.raises(Usage, match="not there"):
        connect(tmp_path / "none")
    with pytest.raises(Usage, match="no kind of store"):
        connect("ftp://somewhere")
    with pytest.raises(Transient, match=r"ask http://127\.0\.0\.1:1:") as caught:
        connect("http://127.0.0.1:1").assets()
    assert "SERVICE_PORT" in caught.value.hint


def test_the_notebook_runs_from_top_to_bottom_on_a_directory_and_on_a_service(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = int(SystemClock().now()) * SECOND
    layout = Layout(tmp_path / "raw")
    arrive(layout, [Reading(now - second * SECOND, float(second)) for second in range(1, 1200)])
    cells = json.loads((Path(__file__).parents[1] / "docs" / "python.ipynb").read_text())["cells"]
    code = ["".join(cell["source"]) for cell in cells if cell["cell_type"] == "code"]
    with listening_at(layout) as address:
        for place in (str(tmp_path), address):
            monkeypatch.setenv("SENSOR_STORAGE_PLANT", place)
            names: dict[str, Any] = {}
            for cell in code:
                exec(compile(cell, "python.ipynb", "exec"), names)  # noqa: S102 - the notebook of this checkout
            assert names["count"] == 1199
            assert names["frame"]["max"].max() == names["table"]["max"].max() == 1199.0
