"""A running service and what its operator sees: the status, the metrics, the proof against Kafka."""

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import urlopen

from prometheus_client.parser import text_string_to_metric_families

from sensor_storage.storage.held_staging import entries_now
from support.prometheus import free_port
from support.service import Service, running
from support.trees import stored_rows
from support.waiting import wait_until


class Watched:
    """A service on one directory, whose topics all begin with `prefix`."""

    def __init__(self, service: Service, port: int) -> None:
        self.service = service
        self._port = port

    def values(self, topic: str) -> list[float]:
        """What is stored of the topic, sorted."""
        return sorted(float(str(row[5])) for row in stored_rows(self.service.layout) if row[0][0] == topic)  # type: ignore[index]

    def gaps(self) -> list[tuple[str, int, int]]:
        """Topic, first offset and the one behind the last of each gap the ledger has, in files or staging."""
        entries = entries_now(self.service.layout)
        return [(one.source.topic, one.start, one.stop) for one in entries if one.fate == "gap"]

    def metric(self, name: str, **labels: str) -> float:
        """The sum over the metric's samples that have these labels, once there are some."""
        found: list[float] = []

        def told() -> list[float]:
            with contextlib.suppress(URLError), urlopen(f"http://127.0.0.1:{self._port}/metrics") as answer:
                families = text_string_to_metric_families(answer.read().decode())
                samples = (one for family in families for one in family.samples if one.name == name)
                found.extend(one.value for one in samples if labels.items() <= one.labels.items())
            return found

        wait_until(told, f"{name} is told")
        return sum(found)

    def tells(self, value: float, name: str, **labels: str) -> None:
        """Wait until the metric has this value: workers report each second."""
        wait_until(lambda: self.metric(name, **labels) == value, f"{name} is {value}")

    def status(self) -> dict[str, Any]:
        """What `status --json` says."""
        told: dict[str, Any] = json.loads(self.service.run("status", "--json").stdout.splitlines()[-1])
        return told

    def compared(self) -> dict[str, Any]:
        """The summary of `verify --full --against-kafka`, which finds nothing wrong."""
        done = self.service.run("verify", "--full", "--against-kafka", "--json")
        assert done.returncode == 0, done.stdout
        summary: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
        return summary


@contextlib.contextmanager
def watching(root: Path, bootstrap_servers: str, prefix: str, **settings: str) -> Iterator[Watched]:
    """A started service that does not outlive the test."""
    port = free_port()
    with running(root, bootstrap_servers, prefix, SERVICE_PORT=str(port), **settings) as service:
        yield Watched(service, port)
