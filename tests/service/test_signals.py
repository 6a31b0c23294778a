"""A worker told to end by two signals at once ends; nothing is set inside a signal handler."""

import signal
import subprocess
import sys
import time

import pytest

_WORKER = """
import sys, threading, time
from sensor_storage.supervisor import until_told, work
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
        time.sleep(pause_seconds)
        worker.send_signal(signal.SIGTERM)
        try:
            assert worker.wait(10) == 0
        finally:
            worker.kill()
