"""What a worker says last is that it has ended."""

from pathlib import Path
from threading import Event

from sensor_storage.config import load
from sensor_storage.consuming import layout_of
from sensor_storage.main import build_maintain
from sensor_storage.storage.status import is_fresh, read_maintain


def test_a_worker_that_has_ended_does_not_look_alive(tmp_path: Path) -> None:
    settings = load({"LOCAL_STORAGE_PATH": str(tmp_path / "raw")})
    stop = Event()
    stop.set()
    build_maintain(settings).run(stop)
    status = read_maintain(layout_of(settings))
    assert status is not None
    assert status.ended
    assert not is_fresh(status, status.time)
