"""What all workers' loops have in common."""

from threading import Event
from typing import Any, Protocol

import psutil


class Loop(Protocol):
    """What a worker process runs until it is told to stop."""

    def run(self, stop: Event) -> None:
        """Work until `stop` is set, then leave nothing half done."""
        ...


def process_use() -> dict[str, Any]:
    """What this process takes: the memory it holds, and the processor time since its start."""
    process = psutil.Process()
    with process.oneshot():
        times = process.cpu_times()
        return {"resident_bytes": process.memory_info().rss, "cpu_seconds": times.user + times.system}
