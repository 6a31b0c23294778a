"""`run`: the service, as a supervisor of one process a worker."""

import os
from functools import partial

import click

from sensor_storage import log
from sensor_storage.api.address import listening_at
from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import layout_of, member_name
from sensor_storage.kafka.handover import leave_group
from sensor_storage.main import build_store, needs_cold_worker
from sensor_storage.stopping import until_told
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.ownership import own
from sensor_storage.storage.processes import Board
from sensor_storage.storage.status import forget_workers, last_told
from sensor_storage.supervisor import Supervisor
from sensor_storage.verbs.options import settings_options
from sensor_storage.watchdog import Watchdog

ROLES = ("ingest", "maintain", "cold", "api")
EPILOG = """\b
Examples:
  sensor-storage run                                   all roles, as set by environment and .env
  sensor-storage run --role ingest --role maintain     no API
  sensor-storage run --ingest-workers 2                two processes share the partitions
  sensor-storage run --data ./plant --env-file ./plant.env

Ends on SIGTERM or Ctrl-C within 30 s; what was consumed is then durable and committed.
Exit codes: 0 ended as told; 1 a worker had to be killed; 2 settings; 5 the data directory is in use."""
_TAKE_OVER_SECONDS = 10
_log = log.get("run")


@click.command("run", epilog=EPILOG)
@click.option(
    "--role", "roles", multiple=True, type=click.Choice(ROLES), help="Only these parts; repeatable."
)
@click.option(
    "--ingest-workers",
    type=click.IntRange(1, 64),
    help="Processes that share the partitions (INGEST_WORKERS).",
)
@settings_options
@click.pass_context
def command(
    ctx: click.Context, roles: tuple[str, ...], ingest_workers: int | None, settings: Settings
) -> int:
    """Run the service: keep every reading of the matching topics, until told to stop."""
    log.configure(settings.log.level, settings.log.format)
    stop = until_told()
    layout = layout_of(settings)
    build_store(settings)  # before anything is begun, is it one that may be written to?
    disk = Disk(layout.root)
    disk.check_one_file_system([layout.raw, layout.staging, layout.dead_letters, layout.ledger, layout.run])
    with own(layout, wait_seconds=_TAKE_OVER_SECONDS) as lock:
        if "api" in (roles or ROLES):
            listening_at(
                settings.service.host, settings.service.port
            ).close()  # of a service that ends, nothing is begun
        disk.clear_aside()
        ingest = [f"ingest-{number}" for number in range(ingest_workers or settings.ingest.workers)]
        wanted = roles or tuple(role for role in ROLES if role != "cold" or needs_cold_worker(settings))
        chosen = [name for role in wanted for name in (ingest if role == "ingest" else [role])]
        forget_workers(layout, chosen)
        workers = [(name, ["worker", name, *_same_settings(ctx)]) for name in chosen]
        _log.info("started", data=str(layout.root), workers=", ".join(chosen))
        environment = {**os.environ, "LOCAL_STORAGE_PATH": str(layout.raw)}
        clock, watchdog = SystemClock(), Watchdog(partial(last_told, layout))
        board = Board(layout, clock)
        status = Supervisor(workers, clock, lock.fileno(), environment, watchdog=watchdog, board=board).run(
            stop
        )
        if "ingest" in (roles or ROLES) and settings.kafka.group_protocol == "classic":
            members = [member_name(settings, layout, worker) for worker in ingest]
            leave_group(settings.kafka.client_properties(), settings.kafka.consumer_group, members)
    _log.info("stopped")
    return status


def _same_settings(ctx: click.Context) -> list[str]:
    """The options by which a worker reads the settings this process has read."""
    given = {"--config": ctx.params.get("config_file"), "--env-file": ctx.params.get("env_file")}
    return [word for name, value in given.items() if value for word in (name, str(value))]
