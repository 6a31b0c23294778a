"""`restore`: files of a range back to this disk, or into a folder; archived ones asked for; a lost disk."""

import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from shutil import copyfile

import click

from sensor_storage.clock import SystemClock
from sensor_storage.cold.azure_rest import rehydrate
from sensor_storage.cold.cleanup import plan_prefixes
from sensor_storage.cold.connect import account_of, container_of
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.keepsakes import Published, published
from sensor_storage.cold.recovery import Recovered, Recovery, plan_rewind
from sensor_storage.cold.store import PAGE, ColdStore, Refused
from sensor_storage.cold.thaw import Thaw
from sensor_storage.config import Settings
from sensor_storage.consuming import build_log_reader, layout_of
from sensor_storage.errors import Damaged, SensorStorageError, Transient, Usage
from sensor_storage.kafka.rewind import plan_offsets, set_offsets
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.main import build_files, build_store, cold_place
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.folded import HOURS
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import own
from sensor_storage.verbs.options import (
    MOMENT,
    Output,
    data_layout,
    output_options,
    seconds_of,
    settings_options,
)
from sensor_storage.verbs.stores import no_store, with_store_told

EPILOG = """\b
Examples:
  sensor-storage restore --from 2026-11-01 --to 2026-11-08 --into ./week   plain files, anywhere
  sensor-storage restore --asset press-7 --from 2026-11-01 --to 2026-11-02
  sensor-storage restore --rehydrate --from 2024-01-01 --to 2024-02-01    ask for archived blobs
  sensor-storage restore --rewind --dry-run                        what a new disk would get
  sensor-storage restore --rewind                                  a new disk in place of a lost one

Without --into files come back into the data directory; its service must not run, and cleanup removes them again.
For --rewind every service of the consumer group must be stopped. Times without an offset are UTC. Exit codes:
0 good; 1 some blobs are missing or damaged, and the others came; 2 usage; 3 some are in the archive; 4 Kafka
or the store does not answer; 5 a service runs on the directory."""
_PROGRESS_FILES = 1000
_ARCHIVED = {"Archive", None}
_LEAVE_SECONDS = 75.0
_AGAIN_SECONDS = 2.0


@click.command("restore", epilog=EPILOG)
@click.option("--asset", "assets", multiple=True, help="Only of this asset; may be given again.")
@click.option("--from", "start", type=MOMENT, help="From this time on.")
@click.option("--to", "stop", type=MOMENT, help="Before this time.")
@click.option("--into", type=click.Path(file_okay=False, path_type=Path), help="A folder for the copies.")
@click.option("--rehydrate", "thaw", is_flag=True, help="Only ask Azure to move archived blobs to Hot.")
@click.option("--rewind", is_flag=True, help="Take a new disk in place of a lost one.")
@click.option("--service", default="", help="Whose disk it was, for --rewind; by default the only one.")
@click.option("--dry-run", is_flag=True, help="Only tell.")
@output_options
@settings_options
def command(
    *,
    output: Output,
    settings: Settings,
    assets: tuple[str, ...],
    start: datetime | None,
    stop: datetime | None,
    into: Path | None,
    thaw: bool,
    rewind: bool,
    service: str,
    dry_run: bool,
) -> int:
    """Bring readings back from the cold store."""
    if rewind:
        if assets or start or stop or into or thaw:
            raise Usage("--rewind takes all of a disk", hint="leave out the other options")
        return _rewind(output, settings, _needed(settings), service, dry_run=dry_run)
    if start and stop and start >= stop:
        raise Usage(
            f"--from {start:%Y-%m-%d %H:%M} is not before --to {stop:%Y-%m-%d %H:%M}",
            hint="give --from first",
        )
    layout = data_layout(settings)
    if into and layout.root in (into.absolute(), *into.absolute().parents):
        raise Usage(
            f"--into {into} is in the data directory",
            hint="name a folder elsewhere, or leave it out: the files go back in their place",
        )
    settings = with_store_told(settings, layout)
    store = _needed(settings)
    _check(store)
    if not layout.catalog.exists():
        raise Usage(
            "there is no catalog, so nothing is known of the cold store",
            hint="sensor-storage restore --rewind, for a lost disk",
        )
    with closing(Catalog(layout, read_only=True)) as catalog:
        wanted = list(_wanted(catalog, assets, seconds_of(start), seconds_of(stop)))
        days = {(one.key.series.asset, one.key.hour // HOURS) for one in wanted}
        manifests = {found.manifest for asset, day in days for found in catalog.folded.days(asset, day, day)}
    if dry_run:
        output.items(
            ({"file": layout.relative(one.path), "rows": one.rows} for one in wanted), ("file", "rows")
        )
        output.summary(
            {"files": len(wanted), "dry_run": True}, f"{len(wanted):,} files are only in the store"
        )
        return 0
    if thaw:
        return _rehydrate(output, settings, store, manifests | {layout.relative(one.path) for one in wanted})
    return _bring(output, settings, layout, wanted, into)


def _needed(settings: Settings) -> ColdStore:
    """The cold store that was uploaded to. Usage where none is set."""
    store = build_store(settings, may_be_new=False)
    if store is None:
        raise no_store(layout_of(settings))
    return store


def _check(store: ColdStore | None) -> None:
    """Away where a folder is not the store, before anything is done with it."""
    if isinstance(store, DirectoryStore):
        store.check()


def _wanted(
    catalog: Catalog, assets: tuple[str, ...], start: float | None, stop: float | None
) -> Iterator[HourFile]:
    """The files of readings that are only in the cold store, of these assets and times."""
    for file in catalog.cold_files():
        began = file.key.hour * 3600
        early = start is not None and began + 3600 <= start
        late = stop is not None and began >= stop
        if not early and not late and (not assets or file.key.series.asset in assets):
            yield file


def _bring(
    output: Output, settings: Settings, layout: Layout, wanted: list[HourFile], into: Path | None
) -> int:
    """Bring the files back, one after the other; those the store refuses or has lost are told of."""
    files = build_files(settings, layout)
    if files is None:
        raise no_store(layout)
    refused = damaged = 0
    with _into(layout, files, into) if into else _back(layout, files) as bring:
        for number, one in enumerate(wanted, 1):
            try:
                bring(one)
            except (Refused, Damaged) as error:
                refused += isinstance(error, Refused)
                damaged += isinstance(error, Damaged)
                where = layout.relative(one.path)
                output.item({"file": where, "error": error.message}, f"{error.message} ({error.hint})")
            if number % _PROGRESS_FILES == 0:
                output.progress({"files": number}, f"{number:,} of {len(wanted):,} files …")
    came = len(wanted) - refused - damaged
    output.summary(
        {"files": came, "refused": refused, "damaged": damaged},
        f"{came:,} files brought back, {refused:,} refused, {damaged:,} missing or damaged in the store",
    )
    return 1 if damaged else 3 if refused else 0


@contextmanager
def _into(layout: Layout, files: ColdFiles, folder: Path) -> Iterator[Callable[[HourFile], None]]:
    """What copies a file into the same tree below a folder."""
    there, disk = Layout(folder.absolute() / "raw"), Disk(folder.absolute())

    def bring(one: HourFile) -> None:
        copy = files.find(layout.hour_file(one.key))
        with disk.writing(there.hour_file(one.key)) as aside:
            copyfile(copy, aside.path)
            disk.publish([aside])

    yield bring


@contextmanager
def _back(layout: Layout, files: ColdFiles) -> Iterator[Callable[[HourFile], None]]:
    """What puts a file back in its place."""
    with own(layout), closing(Catalog(layout)) as catalog:
        thaw = Thaw(layout, Disk(layout.root), catalog, files)
        yield lambda one: thaw.restore(one.key)


def _rehydrate(output: Output, settings: Settings, store: ColdStore, names: set[str]) -> int:
    """Ask for those that the store lists as archived, or tells no tier of; others keep the tier they have."""
    place = cold_place(settings)
    if place is None or not place.account:
        raise Usage("only Azure Blob Storage has an archive tier", hint="leave out --rehydrate")
    asked = 0
    for name in _archived(store, names):
        rehydrate(account_of(place), container_of(place), name)
        asked += 1
    output.summary(
        {"asked": asked, "files": len(names)},
        f"{asked:,} archived blobs of {len(names):,} asked for; they take hours",
    )
    return 0


def _archived(store: ColdStore, names: set[str]) -> Iterator[str]:
    for prefix in sorted(set(plan_prefixes(names).values())):
        cursor: str | None = ""
        while cursor is not None:
            page = store.page(prefix, cursor=cursor, limit=PAGE)
            yield from (blob.name for blob in page.blobs if blob.name in names and blob.tier in _ARCHIVED)
            cursor = page.next


def _rewind(output: Output, settings: Settings, store: ColdStore, service: str, *, dry_run: bool) -> int:
    layout = layout_of(settings)
    documents = published(store)
    if not documents:
        raise Usage(
            f"no service has published safe offsets in {store.url}",
            hint="is this the store that the lost disk was uploaded to?",
        )
    name = _service(settings, layout, documents, service)
    layout.root.mkdir(parents=True, exist_ok=True)
    if not Recovery.may_begin(layout):
        raise Usage(
            f"{layout.root} is not empty",
            hint="a new disk starts empty: name another by --data, or move it away",
        )
    with own(layout):
        disk = Disk(layout.root)

        def progress(number: int) -> None:
            if number % _PROGRESS_FILES == 0:
                output.progress({"files": number}, f"{number:,} blobs …")

        recovery = Recovery(layout, disk, store, name, progress=progress)
        ledger = recovery.ledger()
        plan = plan_rewind((entry for day in ledger.values() for entry in day), documents[name].offsets)
        offsets = _offsets(settings, documents, plan.offsets)
        for (topic, partition), (offset, _) in sorted(offsets.items()):
            output.item(
                {"topic": topic, "partition": partition, "offset": offset},
                f"{topic}/{partition} is read again from {offset:,}",
            )
        if dry_run:
            output.summary(
                {"service": name, "published": documents[name].time, "dry_run": True},
                f"{name}, as it was {datetime.fromtimestamp(documents[name].time, UTC):%Y-%m-%d %H:%M:%S} UTC;"
                " nothing was changed",
            )
            return 0
        _check(
            build_store(settings, may_mark=True, may_be_new=False)
        )  # a share that goes meanwhile is missed
        recovery.begin()
        _set_back(output, settings, offsets)
        if not settings.kafka.group_instance_id:
            disk.publish_bytes(layout.instance_id, name.encode())
        with closing(Catalog(layout)) as catalog:
            done = recovery.take(catalog, SystemClock().now())
        recovery.finish(ledger, plan.kept, done)
    _tell_lost(output, done)
    output.summary(
        {
            **asdict(done),
            "missing": len(done.missing),
            "damaged": len(done.damaged),
            "damaged_manifests": len(done.damaged_manifests),
            "service": name,
        },
        f"{done.files:,} files of readings and {done.aggregates:,} aggregates are known again, {done.read:,} of"
        f" them by a look inside; start the service, and Kafka sends the rest",
    )
    return 1 if done.missing or done.damaged else 0


def _tell_lost(output: Output, done: Recovered) -> None:
    for where, why in done.damaged_manifests.items():
        note = f"damaged in the store: {where}: {why}; what it told of was read from the blobs themselves"
        output.item({"damaged_manifest": where, "why": why}, note)
    for missing in done.missing:
        output.item({"missing": missing}, f"missing in the store: {missing}")
    for where, why in done.damaged.items():
        output.item({"damaged": where, "why": why}, f"damaged in the store: {where}: {why}")


def _service(settings: Settings, layout: Layout, documents: dict[str, Published], chosen: str) -> str:
    """Whose disk it was."""
    kept = layout.instance_id
    name = chosen or settings.kafka.group_instance_id or (kept.read_text().strip() if kept.exists() else "")
    if not name and len(documents) == 1:
        (name,) = documents
    if name in documents:
        return name
    there = ", ".join(sorted(documents)) or "none"
    raise Usage(
        f"no service {name!r} has published safe offsets" if name else "several services have published",
        hint=f"name it by --service; there are: {there}",
    )


def _offsets(
    settings: Settings, documents: dict[str, Published], offsets: dict[tuple[str, str, int], int]
) -> dict[tuple[str, int], tuple[int, str]]:
    """From where Kafka sends again. Transient unless it answers: without it nothing may be changed."""
    log = build_log_reader(settings)
    committed = log.committed()
    topics = {place[0] for place in offsets} | {topic for topic, _ in committed}
    try:
        ids = TopicDirectory(settings.kafka.client_properties()).ids(sorted(topics))
    except SensorStorageError as error:
        raise type(error)(error.message, hint=error.hint or "Kafka has to answer") from error
    told = {(one.topic, one.partition) for document in documents.values() for one in document.offsets}
    return plan_offsets(
        offsets, told=told, committed=committed, ids=ids, first=lambda key: log.bounds(key)[0]
    )


def _set_back(output: Output, settings: Settings, offsets: dict[tuple[str, int], tuple[int, str]]) -> None:
    """Set the group back as soon as the last member has left it, which a dead one does in less than a minute."""
    deadline = time.monotonic() + _LEAVE_SECONDS
    while True:
        try:
            set_offsets(settings.kafka.client_properties(), settings.kafka.consumer_group, offsets)
        except Transient as error:
            if time.monotonic() > deadline:
                raise
            output.progress({"waiting": error.message}, "waiting for the group's members to leave …")
            time.sleep(_AGAIN_SECONDS)
        else:
            return
