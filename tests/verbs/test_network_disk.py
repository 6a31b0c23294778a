"""A data directory on a network share: nothing writes there, and each verb says why and what else to do."""

from pathlib import Path

import pytest

from sensor_storage.model import Series
from sensor_storage.storage import file_system
from sensor_storage.storage.layout import Layout
from support.command import Run
from support.samples import stage_readings


@pytest.fixture
def share(tmp_path: Path, layout: Layout, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A directory with staged readings, which the kernel says is on such a share."""
    stage_readings(layout, [Series("press-7", "temperature")])
    mounts = tmp_path / "mountinfo"
    mounts.write_text("40 22 0:40 / / rw - nfs4 server:/x rw\n")
    monkeypatch.setattr(file_system, "_MOUNTS", mounts)
    monkeypatch.setenv("COLD_STORE_URL", (tmp_path / "cold").as_uri())
    return layout


@pytest.mark.parametrize(
    "words",
    [
        ("run",),
        ("compact",),
        ("aggregate",),
        ("upload",),
        ("cleanup",),
        ("rebuild",),
        ("rebuild", "aggregates"),
        ("verify", "--repair"),
        ("dead-letters", "replay"),
    ],
    ids=" ".join,
)
def test_what_writes_refuses_a_network_file_system(run: Run, share: Layout, words: tuple[str, ...]) -> None:
    done = run(*words)
    assert done.code == 2
    assert "network file system (nfs4)" in done.err
    assert "LOCAL_STORAGE_PATH" in done.err
    assert not share.catalog.exists()
    assert list(share.hour_files()) == []


@pytest.mark.usefixtures("share")
def test_what_only_reads_does_not(run: Run) -> None:
    for verb in ("verify", "status", "ls"):
        done = run(verb)
        assert done.code != 2
        assert "network" not in done.err
