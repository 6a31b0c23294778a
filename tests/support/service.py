"""The real service as a child process, on a directory of the test's."""

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil

from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import IngestStatus, read_ingest, read_maintain
from support.waiting import wait_until

PROGRAM = [sys.executable, "-m", "sensor_storage"]


class Service:
    """May be started, told to stop, and killed, again and again."""

    def __init__(self, root: Path, bootstrap_servers: str, prefix: str, **settings: str) -> None:
        self.layout = Layout(root / "raw")
        self._log = root / "service.log"
        self._environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": bootstrap_servers,
            "KAFKA_TOPIC_PATTERN": f"^{prefix}.*",
            "KAFKA_CONSUMER_GROUP": prefix,
            "LOCAL_STORAGE_PATH": str(self.layout.raw),
            "BUFFER_FLUSH_INTERVAL_SECONDS": "2",
            "COMMIT_INTERVAL_SECONDS": "1",
            "SERVICE_PORT": "0",
            **settings,
        }
        self._process: subprocess.Popen[bytes] | None = None
        root.mkdir(parents=True, exist_ok=True)

    def start(self) -> None:
        """Start it and wait until it reads."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*PROGRAM, "run"], env=self._environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        pid = self._process.pid
        wait_until(lambda: self.status(parent=pid), f"the service starts, see {self.log()}")

    def status(self, *, parent: int) -> IngestStatus | None:
        """What the ingest worker of this very start says."""
        with contextlib.suppress(psutil.NoSuchProcess):
            children = {child.pid for child in psutil.Process(parent).children()}
            return next((one for one in read_ingest(self.layout) if one.pid in children), None)
        return None

    def wait_for_messages(self, count: int, *, seconds: float = 30) -> None:
        """Wait until the ledger answers for so many messages."""

        def received() -> bool:
            status = read_maintain(self.layout)
            return status is not None and status.received_messages >= count

        wait_until(received, f"{count} messages are received, see {self.log()}", seconds=seconds)

    def stop(self) -> int:
        """Tell it to end; its exit status."""
        if self._process is None:
            return 0
        self._process.send_signal(signal.SIGTERM)
        return self._process.wait(40)

    def kill(self) -> None:
        """Kill every process of it at once."""
        if self._process is None or self._process.poll() is not None:
            return
        parent = psutil.Process(self._process.pid)
        for process in (parent, *parent.children(recursive=True)):
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._process.wait()

    def run(self, *words: str) -> "subprocess.CompletedProcess[str]":
        """A verb on the same data."""
        return subprocess.run(
            [*PROGRAM, *words], env=self._environment, capture_output=True, text=True, check=False
        )

    def events(self) -> set[str]:
        """The names of the events it has told of."""
        return {json.loads(line)["event"] for line in self._log.read_text().splitlines()}

    def log(self) -> str:
        """The end of what it told."""
        return self._log.read_text()[-4000:] if self._log.exists() else "nothing"


@contextlib.contextmanager
def running(root: Path, bootstrap_servers: str, prefix: str, **settings: str) -> Iterator[Service]:
    """A started service that does not outlive the test."""
    service = Service(root, bootstrap_servers, prefix, **settings)
    try:
        service.start()
        yield service
    finally:
        service.kill()
