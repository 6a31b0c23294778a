"""`worker`: one of the service's processes, started by `run`."""

import importlib

import click

from sensor_storage import log
from sensor_storage.config import Settings
from sensor_storage.pipeline import Loop
from sensor_storage.supervisor import until_told, work
from sensor_storage.verbs.options import settings_options

_BUILDERS = {
    "ingest": "sensor_storage.main:build_ingest",
    "maintain": "sensor_storage.main:build_maintain",
    "cold": "sensor_storage.main:build_cold",
    "api": "sensor_storage.serving:build_api",
}
"""By role where its loop is built. Only that is loaded: a killed worker's partitions wait for its restart."""


@click.command("worker", hidden=True)
@click.argument("name")
@settings_options
def command(name: str, settings: Settings) -> int:
    """Run one process of the service until told to stop; `run` starts it."""
    log.configure(settings.log.level, settings.log.format)
    stop = until_told()
    return work(_loop(name, settings).run, stop)


def _loop(name: str, settings: Settings) -> Loop:
    """The loop of one worker: `ingest-0`, `maintain`, `cold` or `api`."""
    role, _, number = name.partition("-")
    module, _, builder = _BUILDERS[role].partition(":")
    build = getattr(importlib.import_module(module), builder)
    loop: Loop = build(settings, name) if number else build(settings)
    return loop
