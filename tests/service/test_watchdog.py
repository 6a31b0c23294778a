"""A worker that hangs is killed and started again; one that works silently, or waits for its store, is not."""

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import last_told, read_api, read_cold, read_maintain
from sensor_storage.supervisor import Supervisor
from sensor_storage.watchdog import USUAL, Look, Patience, Watchdog, hangs, patience_with
from support.prometheus import free_port
from support.service import Service, running
from support.waiting import wait_until

BEFORE = Look(pid=1, at=0, told=100, cpu_seconds=5)
SERVES = Patience(300, works_silently=False)
STEP_SECONDS = 30


@pytest.mark.parametrize(
    ("now", "patience", "so"),
    [
        (Look(1, 300, 100, 5.1), USUAL, True),
        (Look(1, 299, 100, 5.1), USUAL, False),  # not for long enough
        (Look(1, 300, 101, 5.1), USUAL, False),  # it has reported
        (Look(1, 300, 100, 8), USUAL, False),  # it works: a long merge
        (Look(2, 300, 100, 5.1), USUAL, False),  # another process
        (Look(1, 300, 100, 8), SERVES, True),  # it works, and its loop does not turn
        (Look(1, 300, 100, 5.1), Patience(900), False),
        (Look(1, 900, 100, 5.1), Patience(900), True),
    ],
)
def test_it_hangs_when_it_neither_tells_nor_does_anything_for_long(
    now: Look, patience: Patience, *, so: bool
) -> None:
    assert hangs(BEFORE, now, patience) == so


def test_the_cold_worker_may_wait_for_its_store_and_the_api_has_to_serve() -> None:
    assert patience_with("ingest-0") == patience_with("maintain") == USUAL
    assert patience_with("cold").silent_seconds > USUAL.silent_seconds
    assert not patience_with("api").works_silently


def test_who_never_reports_is_not_watched() -> None:
    assert not hangs(Look(1, 0, 0, 5), Look(1, 3600, 0, 5))


class Watched:
    """A watchdog that looks every so often, and what it sees."""

    def __init__(self) -> None:
        self.told, self.used, self.at = 1.0, 0.0, 0.0
        self._watchdog = Watchdog(lambda *_: self.told, lambda _: self.used)

    def hung_within(self, seconds: float) -> bool:
        """Did it hang at one of the looks of that time?"""
        found = False
        until = self.at + seconds
        while self.at < until:
            self.at += STEP_SECONDS
            found |= self._watchdog.hangs("maintain", 1, self.at)
        return found


def test_work_and_words_begin_the_wait_anew() -> None:
    one = Watched()
    assert not one.hung_within(300)
    one.told = 2
    assert not one.hung_within(300)
    one.used = 5
    assert not one.hung_within(300)
    assert one.hung_within(30)


def test_time_in_which_nobody_looked_is_no_silence() -> None:
    """A terminal stopped all of it, or the machine stood still."""
    one = Watched()
    assert not one.hung_within(270)
    one.at += 3600
    assert not one.hung_within(300)
    assert one.hung_within(60)


def test_one_that_cannot_be_killed_is_told_again_as_long_after() -> None:
    one = Watched()
    assert one.hung_within(330)
    assert not one.hung_within(270)
    assert one.hung_within(30)


class Scene:
    """A supervisor over one worker, by a clock that goes as told."""

    def __init__(self, told: Callable[[str, int], float]) -> None:
        self.clock = ManualClock()
        self.watchdog = Watchdog(self._look)
        self._told = told
        self._looks = 0

    def _look(self, worker: str, pid: int) -> float:
        self._looks += 1
        return self._told(worker, pid)

    def pass_until(self, so: Callable[[], object]) -> int:
        """Let time pass, look by look; after how many seconds it was so."""
        passed = 0
        while not so():
            looks = self._looks
            self.clock.advance(STEP_SECONDS)
            passed += STEP_SECONDS
            wait_until(partial(self._looked_since, looks, so), "the watchdog looks")
        return passed

    def _looked_since(self, looks: int, so: Callable[[], object]) -> bool:
        return self._looks > looks or bool(so())


@contextmanager
def supervised(
    scene: Scene, folder: Path, worker: str, arguments: list[str], environment: dict[str, str]
) -> Iterator[None]:
    """The worker runs in the block."""
    stop = Event()
    with (folder / "lock").open("w") as lock:
        one = Supervisor(
            [(worker, arguments)], scene.clock, lock.fileno(), environment, watchdog=scene.watchdog
        )
        thread = Thread(target=one.run, args=(stop,), daemon=True)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join(30)


def test_the_supervisor_kills_what_hangs_and_starts_it_again(tmp_path: Path) -> None:
    """A process that sleeps stands for one that waits for a disk."""
    pids = tmp_path / "pids"
    program = f"import os,time; open({str(pids)!r},'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    (tmp_path / "sensor_storage.py").write_text(program)
    scene = Scene(lambda *_: 1.0)

    def begun() -> list[str]:
        return pids.read_text().split() if pids.exists() else []

    with supervised(scene, tmp_path, "maintain", [], {"PYTHONPATH": str(tmp_path)}):
        wait_until(lambda: len(begun()) == 1, "it starts")
        passed = scene.pass_until(lambda: not psutil.pid_exists(int(begun()[0])))
        wait_until(lambda: len(begun()) == 2, "it is started again")
    assert passed >= USUAL.silent_seconds


@pytest.mark.parametrize("worker", ["api", "cold"])
def test_the_api_and_the_cold_worker_too_are_killed_when_they_stand_still(
    tmp_path: Path, worker: str
) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    environment = {
        **os.environ,
        "LOCAL_STORAGE_PATH": str(layout.raw),
        "COLD_STORE_URL": (tmp_path / "cold").as_uri(),
        "SERVICE_PORT": str(free_port()),
    }
    scene = Scene(partial(last_told, layout))

    def reporting() -> int:
        status = read_api(layout) if worker == "api" else read_cold(layout)
        return status.pid if status else 0

    with supervised(scene, tmp_path, worker, ["worker", worker], environment):
        wait_until(reporting, "it reports")
        pid = reporting()
        os.kill(pid, signal.SIGSTOP)
        passed = scene.pass_until(lambda: not psutil.pid_exists(pid))
        wait_until(lambda: reporting() != pid, "it is started again and reports")
    assert passed >= patience_with(worker).silent_seconds


@pytest.mark.slow
def test_a_worker_that_reports_is_left_alone_and_one_that_is_stopped_is_seen_by_all(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        wait_until(lambda: read_maintain(service.layout) is not None, "it reports")
        status = read_maintain(service.layout)
        assert status is not None
        wait_until(lambda: read_api(service.layout) is not None, "the API reports")
        api = read_api(service.layout)
        assert api is not None
        for pid, words in ((status.pid, "has not reported"), (api.pid, "does not serve")):
            process = psutil.Process(pid)
            process.send_signal(signal.SIGSTOP)
            wait_until(partial(_tells, service, words), "status tells", seconds=40)
            process.send_signal(signal.SIGCONT)
            wait_until(partial(_is_silent_on, service, words), "it goes on", seconds=20)
            assert process.is_running()
        assert service.stop() == 0


def _tells(service: Service, words: str) -> bool:
    return words in service.run("status").stdout


def _is_silent_on(service: Service, words: str) -> bool:
    return not _tells(service, words)
