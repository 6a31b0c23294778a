"""`verify`: prove that nothing is missing or double."""

import time
from collections.abc import Sequence

import click
import msgspec

from sensor_storage.aggregation.check import AggregateCheck
from sensor_storage.config import Settings
from sensor_storage.kafka.against import Against
from sensor_storage.storage.findings import Finding, with_names
from sensor_storage.storage.verify import verify
from sensor_storage.storage.verify_report import PartitionReport, VerifyReport
from sensor_storage.verbs.against import against_summary, compare_with_kafka, tell_against
from sensor_storage.verbs.auditing import Audited, audit
from sensor_storage.verbs.options import Output, data_layout, output_options, settings_options
from sensor_storage.verbs.reaching import reach_kafka
from sensor_storage.verbs.repairing import Repaired, look_at_aggregates, repair
from sensor_storage.verbs.stores import with_store_told

EPILOG = """\b
Examples:
  sensor-storage verify                 what has changed since the last time
  sensor-storage verify --full          every row of every file
  sensor-storage verify --against-kafka every message the broker still has, as well
  sensor-storage verify --cold --full   every blob the store has of ours, read back
  sensor-storage verify --repair        make whole what Kafka still has
  sensor-storage verify --json | jq 'select(.type=="summary")'

It may run while the service runs, which --repair asks to move damaged files below damaged/; nothing is deleted.
Exit codes: 0 nothing wrong; 1 something is, and is named; 2 settings; 4 Kafka does not answer; 5 the service that
owns the directory does not answer, or another repair runs."""
_PROGRESS_FILES = 500


@click.command("verify", epilog=EPILOG)
@click.option("--full", is_flag=True, help="Read every row again, also of files found good before.")
@click.option("--against-kafka", is_flag=True, help="Compare with the messages that Kafka still has.")
@click.option(
    "--cold", is_flag=True, help="Hold every receipt against the cold store; with --full its content."
)
@click.option(
    "--repair",
    "repairs",
    is_flag=True,
    help="First set damaged files aside and read what is lacking from Kafka.",
)
@output_options
@settings_options
def command(
    *, output: Output, settings: Settings, full: bool, against_kafka: bool, cold: bool, repairs: bool
) -> int:
    """Prove from the files that every message consumed is stored exactly once, and that no file is damaged."""
    began = time.monotonic()
    layout = data_layout(settings)
    settings = with_store_told(settings, layout)
    repaired = Repaired()
    if repairs:
        repaired = repair(output, settings, layout)
    elif against_kafka:
        reach_kafka(output, settings, layout)
    full = full or repairs

    def progress(files: int, rows: int) -> None:
        if files % _PROGRESS_FILES == 0:
            output.progress({"files": files, "rows": rows}, f"{files:,} files, {rows:,} readings …")

    with look_at_aggregates(settings, layout, full=full) as look:
        report = verify(layout, full=full, progress=progress, witness=look)
        aggregates = look.finish() if look else AggregateCheck()
    against = compare_with_kafka(output, settings, layout) if against_kafka else Against()
    for name, partition in with_names(report.partitions):
        output.item({"kind": "partition", **msgspec.to_builtins(partition)}, _partition_line(name, partition))
    tell_against(output, against)
    audited = audit(output, settings, layout, full=full) if cold else Audited()
    further = [*aggregates.findings, *against.findings]
    if not cold:  # which names them too
        further += repaired.findings
    for finding in [*report.findings, *further]:
        text = f"{finding.kind}: {finding.where}: {finding.detail}" + (
            f" ({finding.hint})" if finding.hint else ""
        )
        output.item({"finding": finding.kind, **msgspec.to_builtins(finding)}, text)
    seconds = round(time.monotonic() - began, 1)
    output.summary(
        _summary(report, aggregates, further, audited, seconds)
        | (against_summary(against) if against_kafka else {})
        | ({"cold": audited.summary()} if cold else {}),
        _verdict(report, aggregates, further, audited, seconds),
        answer=True,
    )
    return 0 if repaired.whole and not _problems(report, further, audited) else 1


def _partition_line(place: str, item: PartitionReport) -> str:
    line = (
        f"{place}   offsets {item.first_offset}…{item.last_offset}   {item.stored:,} stored   "
        f"{item.dead_letters:,} dead letters   {item.missing:,} missing   {item.double:,} double"
    )
    gaps = "".join(f"   gap {start}…{stop}: Kafka no longer had them" for start, stop in item.gaps)
    return line + gaps


def _problems(report: VerifyReport, further: Sequence[Finding], audited: Audited) -> int:
    """How much is wrong, on this disk and in the cold store."""
    return len(report.findings) + report.more_findings + len(further) + audited.bad


def _summary(
    report: VerifyReport,
    aggregates: AggregateCheck,
    further: Sequence[Finding],
    audited: Audited,
    seconds: float,
) -> dict[str, object]:
    problems = _problems(report, further, audited)
    return {
        "clean": not problems,
        "findings": problems,
        "full": report.full,
        "files": report.files,
        "trusted_files": report.trusted_files,
        "cold_files": report.cold_files,
        "rows_read": report.rows_read,
        "messages": sum(item.stored for item in report.partitions),
        "readings": sum(item.readings for item in report.partitions),
        "dead_letters": sum(item.dead_letters for item in report.partitions),
        "empty": sum(item.empty for item in report.partitions),
        "gaps": sum(len(item.gaps) for item in report.partitions),
        "conflicts": report.conflicts,
        "catalog": report.catalog,
        "aggregates": aggregates.files,
        "aggregates_made_again": aggregates.made_again,
        "due_aggregates": aggregates.due,
        "seconds": seconds,
    }


def _verdict(
    report: VerifyReport,
    aggregates: AggregateCheck,
    further: Sequence[Finding],
    audited: Audited,
    seconds: float,
) -> str:
    readings = sum(item.readings for item in report.partitions)
    looked = f"{report.files:,} files, {readings:,} readings, {seconds} s"
    notes = [] if report.catalog else ["There is no catalog; `sensor-storage rebuild` makes one."]
    if any(item.replayed for item in report.partitions):
        notes.append("Where the broker has no topic ids, replays make the ledger's counts bounds.")
    if report.conflicts:
        notes.append(f"{report.conflicts:,} readings share an address and differ; both are kept.")
    if aggregates.due:
        notes.append(
            f"{aggregates.due:,} hours and days are due: a running service makes them once they are over, "
            "`sensor-storage aggregate` makes them now."
        )
    if audited.bad:
        notes.append(audited.verdict())
    problems = _problems(report, further, audited)
    words = f"{problems:,} problems found." if problems else "No loss, no duplicate."
    return "\n".join([*notes, f"{words} {looked}"])
