"""What `verify --repair` does: damaged files set aside, and what is then lacking read from Kafka again.

 0. ask Kafka whether it answers: else nothing is read or moved;
 1. look at everything; have damaged files moved below `damaged/`, until no more are found;
 2. have the catalog made again if it was one of them, or there is none;
 3. have all that is staged put in its place;
 4. find what is lacking: ranges the tree does not add up for, blobs that are lost in the cold store and have no
    file here, and holes in the ledger;
 5. read it from Kafka again (`Mender`); have the catalog name lost blobs no more of whose hours something came,
    and have all of it put in its place;
 6. have the aggregates made again that are missing or no longer fit.

Each step can be repeated; a death between two leaves less to repair. What only the owner of the directory may do
a running service is asked for (`custody`); looking and reading from Kafka are this process' own work, and ingest
goes on beside it.
"""

import itertools
import sqlite3
import uuid
from collections.abc import Iterable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from sensor_storage.aggregation.check import AggregateLook
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.clock import SystemClock
from sensor_storage.config import Settings
from sensor_storage.consuming import build_decoder, build_log_reader
from sensor_storage.errors import Damaged
from sensor_storage.kafka.holes import plan_holes, tree_bounds
from sensor_storage.kafka.mend import Mended, Mender
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.main import aggregate_policy, build_files
from sensor_storage.model import SensorHour, Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.file_system import refuse_network
from sensor_storage.storage.findings import Finding, span_name
from sensor_storage.storage.held_staging import entries_now, hold
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import replayed_offsets
from sensor_storage.storage.spans import Span, joined
from sensor_storage.storage.verify import verify
from sensor_storage.verbs.custody import Custody, custody
from sensor_storage.verbs.options import Output
from sensor_storage.verbs.reaching import reach_kafka


class Repaired(NamedTuple):
    """Is nothing lost that Kafka should have had; and the blobs of which nothing came back."""

    whole: bool = True
    findings: list[Finding] = []  # noqa: RUF012 - never written to


def repair(output: Output, settings: Settings, layout: Layout) -> Repaired:
    """Make whole what can be. Owned when a service runs on the directory and does not answer."""
    refuse_network(layout.root)
    reach_kafka(output, settings, layout)  # 0
    with custody(output, settings, layout) as owner:
        moved, aggregates = _set_aside(output, settings, layout, owner)  # 1, 2
        owner.compact()  # 3
        bad: dict[SensorHour, Finding] = {}
        mended = _mend(output, settings, layout, bad, forgotten=any(map(_remembers(layout), moved)))  # 4, 5
        came = _staged_hours(layout) & bad.keys() if bad else set()
        owner.forget(sorted(came))
        owner.compact()
        owner.aggregate(again=aggregates)  # 6
    _tell(output, mended)
    for hour in came:
        where = bad[hour].where
        output.item({"repair": "blob", "where": where}, f"read again in place of its blob: {where}")
    return Repaired(not mended.lost, [bad[hour] for hour in sorted(bad.keys() - came)])


def _set_aside(output: Output, settings: Settings, layout: Layout, owner: Custody) -> tuple[list[Path], bool]:
    """The files that were moved; and is anything else wrong with the aggregates?"""
    moved: list[Path] = []
    while True:
        with look_at_aggregates(settings, layout, full=True) as look:
            report = verify(layout, full=True, mark=False, witness=look)
            wrong = look.finish().findings if look else []
        paths = [path for path in _damaged(layout, [*report.findings, *wrong]) if path not in moved]
        if not paths:
            return moved, bool(wrong)
        for path, target in owner.set_aside(paths):
            moved.append(path)
            where, to = layout.relative(path), layout.relative(target)
            output.item({"repair": "set_aside", "where": where, "to": to}, f"set aside: {where} is now {to}")
        moved += [path for path in paths if path not in moved]


def _damaged(layout: Layout, findings: list[Finding]) -> list[Path]:
    return [layout.root / item.where for item in findings if item.kind == "damaged"]


def _remembers(layout: Layout) -> Any:  # noqa: ANN401 - a predicate of paths
    """Did the file hold entries of the ledger?"""
    return lambda path: layout.ledger in path.parents or layout.staging in path.parents


def _staged_hours(layout: Layout) -> set[SensorHour]:
    """The sensor-hours of which readings are staged."""
    held = hold(layout)
    return {held.keys.sensor_hour(key) for file in held.files for key in file.keys.tolist()}


def _mend(
    output: Output,
    settings: Settings,
    layout: Layout,
    bad: dict[SensorHour, Finding],
    *,
    forgotten: bool,
) -> Mended:
    """Read again what is lacking; the `bad` blobs met are noted.

    What is committed is looked at before what is stored, and that before the ledger: each is behind the next.
    """
    report = verify(layout, full=True, mark=False)
    log, files = build_log_reader(settings), build_files(settings, layout)
    find = files.find if files else None
    lacking = [Window(*source[:3], start, stop) for source, start, stop in report.differing]

    def note(file: HourFile, error: Damaged) -> None:
        bad[file.key] = Finding("damaged", layout.relative(file.path), error.message, error.hint)
        lacking.extend(Window(*one.source[:3], one.first_offset, one.last_offset + 1) for one in file.totals)

    committed, bounds = log.committed(), tree_bounds(layout, find, note)
    entries = entries_now(layout)
    topics = {entry.source.topic for entry in entries} | {place[0] for place in bounds}
    ids = TopicDirectory(settings.kafka.client_properties()).ids(
        sorted(topics | {topic for topic, _ in committed})
    )
    from_start = forgotten and settings.kafka.auto_offset_reset == "earliest"
    holes = plan_holes(entries, bounds, committed, ids, log.bounds if from_start else None)
    differing = _joined(lacking)
    if differing or holes:
        count = sum(window.stop - window.start for window in (*differing, *holes))
        output.note(f"reading {count:,} offsets of {len(differing) + len(holes):,} ranges from Kafka")
    worker, numbers, created = f"r{uuid.uuid4().hex[:12]}", itertools.count(), int(SystemClock().now() * 1000)
    return Mender(
        layout=layout,
        disk=Disk(layout.root),
        log=log,
        ids=ids,
        decode=build_decoder(settings).decode,
        names=lambda: StagedName(created, worker, next(numbers), 0),
        compression=settings.storage.parquet_compression,
        replayed=replayed_offsets(entries),
        find=find,
    ).mend(differing, holes)


def _joined(windows: Iterable[Window]) -> list[Window]:
    """The same offsets, each in one window."""
    spans: dict[tuple[str, str, int], list[Span]] = {}
    for window in windows:
        spans.setdefault(window.place, []).append((window.start, window.stop))
    return [Window(*place, *span) for place, mine in sorted(spans.items()) for span in joined(mine)]


def _tell(output: Output, mended: Mended) -> None:
    record = {
        "repair": "stored",
        "readings": mended.readings,
        "dead_letters": mended.dead_letters,
        "ledger_entries": mended.entries,
    }
    text = f"stored again from Kafka: {mended.readings:,} readings, {mended.dead_letters:,} dead letters"
    output.item(record, text + f", {mended.entries:,} entries of the ledger")
    for window in mended.kept:
        where, count = _named(window), window.stop - window.start
        words = f"Kafka no longer has these messages; all {count:,} are stored, and the ledger says so again"
        output.item({"repair": "kept", "where": where, "stored": count}, f"kept: {where}: {words}")
    for window, stored in mended.lost:
        where = _named(window)
        words = f"Kafka no longer has these messages; {stored:,} of them are stored"
        output.item({"repair": "lost", "where": where, "stored": stored}, f"lost: {where}: {words}")


def _named(window: Window) -> str:
    return span_name(Source(*window.place, -1), window.start, window.stop)


@contextmanager
def look_at_aggregates(settings: Settings, layout: Layout, *, full: bool) -> Iterator[AggregateLook | None]:
    """A look at the aggregates; without a catalog nobody knows which of them are due."""
    if not layout.catalog.exists():
        yield None
        return
    numbering, uncertain = settings.decode.quality_numbering, settings.aggregate.uncertain_is_good
    source = LocalHours(layout, judge_by(numbering, uncertain_is_good=uncertain)) if full else None
    try:
        catalog = Catalog(layout, read_only=True)
    except sqlite3.DatabaseError:  # verification says so
        yield None
        return
    with closing(catalog):
        yield AggregateLook(layout, catalog.aggregates, aggregate_policy(settings), source)
