"""A worker told to end by two signals at once ends; nothing is set inside a signal handler."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import pytest

from support.waiting import wait_until

# Threads that wake all the time make the main thread handle its signals at every place of its code.
_WORKER = """
import sys, threading, time
from sensor_storage.stopping import until_told, work
stop = until_told()
for _ in range(3):
    threading.Thread(target=lambda: [time.sleep(0.0001) for _ in range(10**9)], daemon=True).start()
def loop(stop):
    print("ready", flush=True)
    stop.wait()
sys.exit(work(loop, stop))
"""


@pytest.mark.parametrize("pause_seconds", [0.0, 0.0002, 0.002] * 5)
def test_a_worker_ends_when_the_terminal_and_the_supervisor_both_tell_it(pause_seconds: float) -> None:
    with subprocess.Popen([sys.executable, "-c", _WORKER], stdout=subprocess.PIPE, text=True) as worker:
        assert worker.stdout is not None
        assert worker.stdout.readline() == "ready\n"
        worker.send_signal(signal.SIGINT)
        time.sleep(pause_seconds)  # how far the second signal comes behind the first is what is tried
        worker.send_signal(signal.SIGTERM)
        try:
            assert worker.wait(10) == 0
        finally:
            worker.kill()


def test_a_signal_while_the_program_is_still_read_ends_it_with_0(tmp_path: Path) -> None:
    environment = {**os.environ, "LOCAL_STORAGE_PATH": str(tmp_path / "raw"), "SERVICE_PORT": "0"}
    for _ in range(5):
        one = subprocess.Popen(
            [sys.executable, "-m", "sensor_storage", "run"],
            env=environment,
            stdin=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
        )
        status = Path(f"/proc/{one.pid}/status")
        try:
            wait_until(partial(_hears_sigterm, status), "it listens")
            one.send_signal(signal.SIGTERM)
            _, told = one.communicate(timeout=40)
        finally:
            one.kill()
        assert one.returncode == 0, told


def _hears_sigterm(status: Path) -> bool:
    caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
    return bool(int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1)
