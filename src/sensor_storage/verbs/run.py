"""`run`: the service. `worker`: one of its processes."""

import click

from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.log import get
from sensor_storage.main import build_worker, layout_of
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.ownership import own
from sensor_storage.supervisor import Supervisor, until_told, work

ROLES = {"ingest": "ingest-0", "maintain": "maintain", "api": "api"}
_TAKE_OVER_SECONDS = 10
_log = get("run")


def serve_roles(settings: Settings, roles: tuple[str, ...]) -> int:
    """Own the data directory and run the workers of these roles until told to stop; the exit status."""
    stop = until_told()
    layout = layout_of(settings)
    with own(layout, wait_seconds=_TAKE_OVER_SECONDS) as lock:
        Disk(layout.root).clear_aside()
        workers = [(ROLES[role], ["worker", ROLES[role]]) for role in roles]
        _log.info("started", data=str(layout.root), roles=", ".join(roles))
        status = Supervisor(workers, SystemClock(), lock.fileno()).run(stop)
    _log.info("stopped")
    return status


def run_worker(settings: Settings, worker: str) -> int:
    """Run one worker of a service until it is told to stop; the exit status."""
    return work(build_worker(settings, worker).run, until_told())


__all__ = ["click"]
