"""`verify`: prove that nothing is missing or double."""

import time

import click
import msgspec

from sensor_storage.config import Settings
from sensor_storage.main import layout_of
from sensor_storage.storage.verify import verify
from sensor_storage.storage.verify_report import PartitionReport, VerifyReport
from sensor_storage.verbs.options import Output, output_options, settings_options

EPILOG = """\b
Examples:
  sensor-storage verify                 what has changed since the last time
  sensor-storage verify --full          every row of every file
  sensor-storage verify --json | jq 'select(.type=="summary")'

It may run while the service runs. Exit codes: 0 nothing wrong; 1 something is, and is named; 2 settings."""
_PROGRESS_FILES = 500


@click.command("verify", epilog=EPILOG)
@click.option("--full", is_flag=True, help="Read every row again, also of files found good before.")
@output_options
@settings_options
def command(output: Output, settings: Settings, full: bool) -> int:
    """Prove from the files that every message consumed is stored exactly once, and that no file is damaged."""
    began = time.monotonic()
    layout = layout_of(settings)

    def progress(files: int, rows: int) -> None:
        if files % _PROGRESS_FILES == 0:
            output.progress({"files": files, "rows": rows}, f"{files:,} files, {rows:,} readings …")

    report = verify(layout, full=full, progress=progress)
    for partition in report.partitions:
        output.item({"kind": "partition", **msgspec.to_builtins(partition)}, _partition_line(partition))
    for finding in report.findings:
        text = f"{finding.kind}: {finding.where}: {finding.detail}" + (
            f" ({finding.hint})" if finding.hint else ""
        )
        output.item({"finding": finding.kind, **msgspec.to_builtins(finding)}, text)
    seconds = round(time.monotonic() - began, 1)
    output.summary(_summary(report, seconds), _verdict(report, seconds))
    return 0 if report.clean else 1


def _partition_line(item: PartitionReport) -> str:
    line = (
        f"{item.place}   offsets {item.first_offset}…{item.last_offset}   {item.stored:,} stored   "
        f"{item.dead_letters:,} dead letters   {item.missing:,} missing   {item.double:,} double"
    )
    gaps = "".join(f"   gap {start}…{stop}: Kafka no longer had them" for start, stop in item.gaps)
    return line + gaps


def _summary(report: VerifyReport, seconds: float) -> dict[str, object]:
    return {
        "clean": report.clean,
        "findings": len(report.findings) + report.more_findings,
        "full": report.full,
        "files": report.files,
        "trusted_files": report.trusted_files,
        "rows_read": report.rows_read,
        "messages": sum(item.stored for item in report.partitions),
        "readings": sum(item.readings for item in report.partitions),
        "dead_letters": sum(item.dead_letters for item in report.partitions),
        "empty": sum(item.empty for item in report.partitions),
        "gaps": sum(len(item.gaps) for item in report.partitions),
        "conflicts": report.conflicts,
        "catalog": report.catalog,
        "seconds": seconds,
    }


def _verdict(report: VerifyReport, seconds: float) -> str:
    readings = sum(item.readings for item in report.partitions)
    looked = f"{report.files:,} files, {readings:,} readings, {seconds} s"
    notes = [] if report.catalog else ["There is no catalog; `sensor-storage rebuild` makes one."]
    if any(item.replayed for item in report.partitions):
        notes.append("Where the broker has no topic ids, replays make the ledger's counts bounds.")
    if report.conflicts:
        notes.append(f"{report.conflicts:,} readings share an address and differ; both are kept.")
    if report.clean:
        return "\n".join([*notes, f"No loss, no duplicate. {looked}"])
    count = len(report.findings) + report.more_findings
    return "\n".join([*notes, f"{count:,} problems found. {looked}"])
