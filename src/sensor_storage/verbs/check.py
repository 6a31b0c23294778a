"""`check`: can the service work here?"""

from collections.abc import Callable, Iterator

import click

from sensor_storage.api.access import is_loopback
from sensor_storage.checks.cold import check_cold_store, check_way
from sensor_storage.checks.disk import check_disk
from sensor_storage.checks.finding import Finding, bad, good, unknown
from sensor_storage.checks.kafka import check_kafka
from sensor_storage.checks.machine import check_machine
from sensor_storage.checks.registry import check_registry
from sensor_storage.checks.service import check_answer, check_port
from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import registry_access
from sensor_storage.errors import Usage
from sensor_storage.kafka.registry import Registry
from sensor_storage.main import build_store, needs_cold_worker, store_address
from sensor_storage.serving import build_certificate, build_keys
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import is_owned
from sensor_storage.verbs.options import Output, output_options, settings_options
from sensor_storage.verbs.stores import with_store_told

EPILOG = """\b
Examples:
  sensor-storage check                        everything, before the first start
  sensor-storage check --only kafka --json    one part, for machines
  sensor-storage check --only service -q      does the running service answer? as containers ask

✓ good; ✗ amiss, and → what to do; ? can't be seen from here, which is no fault.
Exit codes: 0 nothing is amiss; 1 something is; 2 a setting is wrong."""


@click.command("check", epilog=EPILOG)
@click.option(
    "--only",
    "parts",
    multiple=True,
    type=click.Choice(["settings", "machine", "disk", "kafka", "cold", "registry", "service"]),
    help="Only these parts; repeatable.",
)
@output_options
@settings_options
def command(output: Output, settings: Settings, parts: tuple[str, ...]) -> int:
    """Look at all the service needs, from settings to the cold store, and say of each part whether it will do."""
    counts = {"good": 0, "bad": 0, "unknown": 0}
    for part in parts or tuple(_PARTS):
        look = _service if parts and part == "service" else _PARTS[part]
        for finding in look(settings):
            counts[finding.state] += 1
            _show(output, finding)
    output.summary(counts, f"{counts['good']} good, {counts['bad']} amiss, {counts['unknown']} can't be seen")
    return 1 if counts["bad"] else 0


def _show(output: Output, finding: Finding) -> None:
    record = {"name": finding.name, "state": finding.state, "what": finding.what, "fix": finding.fix}
    if output.as_json:
        output.item(record)
        return
    if output.quiet and finding.state != "bad":
        return
    for line in finding.line.split("\n"):
        output.item({}, line)


def _settings(settings: Settings) -> Iterator[Finding]:
    build_store(settings)
    yield good("settings", f"{len(settings.origins)} given, all good")
    try:
        build_keys(settings, SystemClock())
        if certificate := build_certificate(settings):
            certificate.context()
    except Usage as error:
        yield bad("keys and certificate", error.message, error.hint)
    if not (
        settings.service.api_keys
        or settings.service.api_keys_file
        or settings.service.trusted_proxies
        or is_loopback(settings.service.host)
    ):
        fix = "set API_KEYS_FILE (sensor-storage config key makes a line), or SERVICE_HOST=127.0.0.1"
        yield unknown(
            "API", f"{settings.service.host} can be reached by others, and nobody needs a key to read", fix
        )
    for warning in settings.warnings:
        yield bad("settings", warning, "sensor-storage config docs tells every setting")


def _machine(settings: Settings) -> Iterator[Finding]:
    workers = settings.ingest.workers + 2 + needs_cold_worker(settings)
    yield from check_machine(workers=workers, memory_limit=settings.service.memory_limit)


def _disk(settings: Settings) -> Iterator[Finding]:
    layout = Layout(settings.storage.local_storage_path)
    yield from check_disk(layout, high_watermark=settings.storage.disk_high_watermark)


def _kafka(settings: Settings) -> Iterator[Finding]:
    yield from check_kafka(settings.kafka.client_properties(), settings.kafka.topic_pattern)


def _registry(settings: Settings) -> Iterator[Finding]:
    """Nothing to look at without one."""
    if access := registry_access(settings):
        yield check_registry(Registry(access).get)


def _service(settings: Settings) -> Iterator[Finding]:
    tls = settings.service.tls_cert_file is not None
    yield from check_answer(settings.service.host, settings.service.port, tls=tls)


def _service_or_port(settings: Settings) -> Iterator[Finding]:
    """A service that owns the directory is to answer; without one, its port is to be free."""
    layout = Layout(settings.storage.local_storage_path)
    running = layout.run.is_dir() and is_owned(layout)
    yield from _service(settings) if running else check_port(settings.service.host, settings.service.port)


def _cold(settings: Settings) -> Iterator[Finding]:
    settings = with_store_told(settings, Layout(settings.storage.local_storage_path))
    store = build_store(settings, may_create=True)
    if store is None:
        yield good("cold store", "none is set: nothing is uploaded, and nothing ever removed here")
        return
    if way := store_address(settings):
        findings = list(check_way(*way))
        yield from findings
        if findings[0].state == "bad":
            return
    yield from check_cold_store(store)


_PARTS: dict[str, Callable[[Settings], Iterator[Finding]]] = {
    "settings": _settings,
    "machine": _machine,
    "disk": _disk,
    "kafka": _kafka,
    "cold": _cold,
    "registry": _registry,
    "service": _service_or_port,
}
