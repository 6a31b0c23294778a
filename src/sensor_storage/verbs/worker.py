"""`worker`: one of the service's processes, started by `run`."""

import importlib
import os

import click

from sensor_storage import log
from sensor_storage.config import Settings
from sensor_storage.errors import SensorStorageError
from sensor_storage.loop import Loop
from sensor_storage.secrecy import without_secrets
from sensor_storage.stopping import until_told, work
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.processes import leave_words
from sensor_storage.verbs.options import settings_options

_BUILDERS = {
    "ingest": "sensor_storage.consuming:build_ingest",
    "maintain": "sensor_storage.main:build_maintain",
    "cold": "sensor_storage.main:build_cold",
    "api": "sensor_storage.serving:build_api",
}
"""By role where its loop is built. Only that is loaded: a killed worker's partitions wait for its restart."""
_MOST_CHARACTERS = 1_000


@click.command("worker", hidden=True)
@click.argument("name")
@settings_options
def command(name: str, settings: Settings) -> int:
    """Run one process of the service until told to stop; `run` starts it."""
    log.configure(settings.log.level, settings.log.format)
    stop = until_told()
    try:
        return work(_loop(name, settings).run, stop)
    except Exception as error:
        leave_words(Layout(settings.storage.local_storage_path), name, os.getpid(), _words(error))
        raise


def _words(error: Exception) -> str:
    """What the API and `status` tell of it, as long as the worker ends again and again."""
    if isinstance(error, SensorStorageError):
        text = f"{error.message} ({error.hint})" if error.hint else error.message
    else:
        text = f"{type(error).__name__}: {error}"
    return without_secrets(text[:_MOST_CHARACTERS])


def _loop(name: str, settings: Settings) -> Loop:
    """The loop of one worker: `ingest-0`, `maintain`, `cold` or `api`."""
    role, _, number = name.partition("-")
    module, _, builder = _BUILDERS[role].partition(":")
    build = getattr(importlib.import_module(module), builder)
    loop: Loop = build(settings, name) if number else build(settings)
    return loop
