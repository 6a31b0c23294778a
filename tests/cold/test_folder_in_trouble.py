"""A folder as cold store in trouble: what is told is what happened, and the worker beside it lives."""

import errno
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.store import Away
from sensor_storage.storage.durable import PosixSteps
from support.aggregates import LATER
from support.cold import Plant, blobs


class Failing(PosixSteps):
    """A folder that can't be written, for the reason given, until that is mended."""

    def __init__(self, root: Path, reason: int) -> None:
        super().__init__(root)
        self.reason = reason

    def write(self, path: Path, data: bytes | memoryview) -> None:
        if self.reason:
            raise OSError(self.reason, os.strerror(self.reason))
        super().write(path, data)


def read_only(folder: Path) -> tuple[DirectoryStore, Callable[[], object]]:
    return _failing(folder, errno.EROFS)


def full(folder: Path) -> tuple[DirectoryStore, Callable[[], object]]:
    return _failing(folder, errno.ENOSPC)


def a_file(folder: Path) -> tuple[DirectoryStore, Callable[[], object]]:
    folder.write_text("no folder")
    return DirectoryStore(folder), folder.unlink


def _failing(folder: Path, reason: int) -> tuple[DirectoryStore, Callable[[], object]]:
    steps = Failing(folder, reason)
    folder.mkdir()
    return DirectoryStore(folder, steps=steps), lambda: setattr(steps, "reason", 0)


@pytest.mark.parametrize(
    ("trouble", "words"),
    [(read_only, "Read-only file system"), (full, "No space left on device"), (a_file, "Not a directory")],
)
def test_a_folder_that_cannot_be_written_is_away_with_its_own_words_and_uploads_go_on_once_it_can(
    tmp_path: Path, trouble: Callable[[Path], tuple[DirectoryStore, Callable[[], object]]], words: str
) -> None:
    store, mend = trouble(tmp_path / "cold")
    plant = Plant(tmp_path / "data", store)
    plant.arrive(range(10))
    plant.compact()
    for seconds in (0, 600):
        report = plant.upload(LATER + seconds)
        assert (report.uploaded, report.away) == (0, True)
        assert report.failed >= 1
        assert all(words in told for told in report.errors.values())
    mend()
    assert plant.upload_now().waiting == 0
    assert sorted(blobs(store)) == plant.local()


def test_a_list_of_a_folder_that_is_a_file_is_no_empty_list(tmp_path: Path) -> None:
    (tmp_path / "cold").write_text("no folder")
    with pytest.raises(Away):
        list(DirectoryStore(tmp_path / "cold").pages(""))


def test_nothing_is_below_the_name_of_a_blob(tmp_path: Path) -> None:
    store = DirectoryStore(tmp_path / "cold")
    store.write("raw/a.parquet", b"x", replaces=None, metadata={})
    assert not blobs(store, "raw/a.parquet/")
