"""A worker that hangs is killed and started again; one that works silently, or waits for its store, is not."""

import signal
import sys
from pathlib import Path
from threading import Event, Thread

import psutil
import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.status import read_maintain
from sensor_storage.supervisor import Supervisor
from sensor_storage.watchdog import SILENT_SECONDS, Look, Watchdog, hangs
from support.service import running
from support.waiting import wait_until

BEFORE = Look(pid=1, at=0, told=100, cpu_seconds=5)


@pytest.mark.parametrize(
    ("now", "so"),
    [
        (Look(1, 300, 100, 5.1), True),
        (Look(1, 299, 100, 5.1), False),  # not for long enough
        (Look(1, 300, 101, 5.1), False),  # it has reported
        (Look(1, 300, 100, 8), False),  # it works: a long merge
        (Look(2, 300, 100, 5.1), False),  # another process
    ],
)
def test_it_hangs_when_it_neither_tells_nor_does_anything_for_long(now: Look, *, so: bool) -> None:
    assert hangs(BEFORE, now) == so


def test_who_never_reports_is_not_watched() -> None:
    assert not hangs(Look(1, 0, 0, 5), Look(1, 3600, 0, 5))


def test_work_and_words_begin_the_wait_anew() -> None:
    told, used = [1.0], [0.0]
    watchdog = Watchdog(lambda _: told[0], lambda _: used[0])
    assert [watchdog.hangs("maintain", 1, at) for at in (0, 290)] == [False, False]
    told[0] = 2
    assert [watchdog.hangs("maintain", 1, at) for at in (299, 590)] == [False, False]
    used[0] = 5
    assert [watchdog.hangs("maintain", 1, at) for at in (600, 890, 900)] == [False, False, True]


def test_the_supervisor_kills_what_hangs_and_starts_it_again(tmp_path: Path) -> None:
    """A process that sleeps stands for one that waits for a disk."""
    clock, stop = ManualClock(), Event()
    pids = tmp_path / "pids"
    program = f"import os,time; open({str(pids)!r},'a').write(f'{{os.getpid()}}\\n'); time.sleep(600)"
    module = tmp_path / "sensor_storage.py"
    module.write_text(program)
    with (tmp_path / "lock").open("w") as lock:
        one = Supervisor(
            [("maintain", [])],
            clock,
            lock.fileno(),
            {"PYTHONPATH": str(tmp_path)},
            watchdog=Watchdog(lambda _: 1.0, lambda _: 0.0),
        )
        thread = Thread(target=one.run, args=(stop,), daemon=True)
        thread.start()
        try:
            wait_until(lambda: pids.exists() and pids.read_text().count("\n") == 1, "it starts")
            clock.advance(20)
            stop.wait(0.3)  # for a look of the supervisor's, every 50 ms
            clock.advance(SILENT_SECONDS + 20)
            wait_until(lambda: pids.read_text().count("\n") == 2, "it is started again")
        finally:
            stop.set()
            thread.join(30)
    first = int(pids.read_text().split()[0])
    assert not psutil.pid_exists(first)
    assert sys.executable


@pytest.mark.slow
def test_a_worker_that_reports_is_left_alone_and_one_that_is_stopped_is_seen_by_all(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix) as service:
        wait_until(lambda: read_maintain(service.layout) is not None, "it reports")
        status = read_maintain(service.layout)
        assert status is not None
        process = psutil.Process(status.pid)
        process.send_signal(signal.SIGSTOP)
        wait_until(lambda: "has not reported" in service.run("status").stdout, "status tells", seconds=40)
        process.send_signal(signal.SIGCONT)
        wait_until(lambda: "has not reported" not in service.run("status").stdout, "it goes on", seconds=20)
        assert process.is_running()
        assert service.stop() == 0
