"""The staging area and the ledger at one instant, held while compaction goes on.

Rows and ledger entries only ever move from staged files into hour files and ledger files, and the new place
is durable before the old one goes. So whoever holds all staged files first, and reads the ledger files and
hour files after that, misses nothing: what it finds too much is younger than its look.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from sensor_storage.errors import Damaged
from sensor_storage.model import Source
from sensor_storage.storage.dead_letters import SCHEMA as DEAD_LETTER_SCHEMA
from sensor_storage.storage.file_checks import MappedFile, RowChecks, blocks_of, damaged
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.footers import Footer
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.ledger_files import read_ledger
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.staging import SensorHourKeys, StagedFile

_MAX_LOOKS = 100


@dataclass(eq=False)
class HeldFile(StagedFile):
    """A staged file that is read through the open file, whether or not it still has its name."""

    checked: CheckedFile

    def opened(self) -> CheckedFile:
        """The file as it was checked."""
        return self.checked


@dataclass(slots=True)
class Held:
    """Staged files and ledger entries as they were together, and what was wrong with them."""

    keys: SensorHourKeys = field(default_factory=SensorHourKeys)
    files: list[HeldFile] = field(default_factory=list)
    entries: list[LedgerEntry] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)
    doubles: int = 0
    rows: int = 0


def hold(layout: Layout) -> Held:
    """Hold the staging area and read the ledger; every staged row is checked."""
    held = Held()
    seen: set[StagedName] = set()
    for _ in range(_MAX_LOOKS):
        fresh = {name: path for name, path in _listed(layout).items() if name not in seen}
        seen.update(fresh)
        taken = [_take(layout, held, name, path) for name, path in fresh.items()]
        if all(taken):
            break
    for file in held.files:
        held.entries += file.footer.ledger
    entries, findings = read_ledgers(layout)
    held.entries += entries
    held.findings += findings
    return held


def read_ledgers(layout: Layout) -> tuple[list[LedgerEntry], list[Finding]]:
    """The entries of all ledger files, and what is wrong with them."""
    entries: list[LedgerEntry] = []
    findings = []
    for path in layout.ledger_files():
        try:
            entries += read_ledger(path)
        except (Damaged, pa.ArrowException, KeyError, ValueError, TypeError) as error:
            findings.append(damaged(layout.relative(path), path, error))
    return entries, findings


def entries_now(layout: Layout) -> list[LedgerEntry]:
    """All entries as they are now, damaged files left out."""
    entries: list[LedgerEntry] = []
    seen: set[StagedName] = set()
    for _ in range(_MAX_LOOKS):
        fresh = {name: path for name, path in _listed(layout).items() if name not in seen}
        seen.update(fresh)
        footers = [_footer(path) for path in fresh.values()]
        entries += [entry for footer in footers if footer for entry in footer.ledger]
        if None not in footers:
            break
    return entries + read_ledgers(layout)[0]


def dead_letter_offsets(layout: Layout) -> tuple[dict[Source, NDArray[np.int64]], list[Finding]]:
    """Per source the offsets of its dead letters, each once and sorted; and what is wrong with the files."""
    found: dict[Source, list[NDArray[np.int64]]] = {}
    findings = []
    for path in layout.dead_letter_files():
        try:
            for source, offsets in _letters(path):
                found.setdefault(source, []).append(offsets)
        except FileNotFoundError:
            continue
        except (Damaged, pa.ArrowException, KeyError, ValueError) as error:
            findings.append(damaged(layout.relative(path), path, error))
    return {source: np.unique(np.concatenate(parts)) for source, parts in found.items()}, findings


def _letters(path: Path) -> Iterable[tuple[Source, NDArray[np.int64]]]:
    names = DEAD_LETTER_SCHEMA.names[:5]
    file = CheckedFile(path)
    if file.parquet.schema_arrow.names != DEAD_LETTER_SCHEMA.names:
        raise Damaged(f"{path}: not a dead letter file")
    grouped = (
        file.parquet.read(names).unify_dictionaries().group_by(names[:4]).aggregate([(names[4], "list")])
    )
    columns = grouped.to_pydict()
    sources: Sequence[Source] = [
        Source(*key) for key in zip(*(columns[name] for name in names[:4]), strict=True)
    ]
    offsets = [np.array(item, np.int64) for item in columns[f"{names[4]}_list"]]
    return list(zip(sources, offsets, strict=True))


def _listed(layout: Layout) -> dict[StagedName, Path]:
    """The staged files. One listing may miss a run that appears and its inputs that go while it is made."""
    listed: dict[StagedName, Path] = {}
    for _ in range(_MAX_LOOKS):
        found = dict(layout.staged_files())
        if found.keys() <= listed.keys():
            break
        listed.update(found)
    return listed


def _footer(path: Path) -> Footer | None:
    """A staged file's footer, an empty one for a damaged file; None when it is gone."""
    try:
        return MappedFile(path).footer()
    except FileNotFoundError:
        return None
    except (Damaged, pa.ArrowException):
        return Footer(kind="segment", rows=0, totals=())


def _take(layout: Layout, held: Held, name: StagedName, path: Path) -> bool:
    """Hold one staged file; False when it was gone."""
    where = layout.relative(path)
    try:
        file = MappedFile(path)
        footer = file.footer()
        expected = "segment" if name.level == 0 else "run"
        if footer.kind != expected:
            held.findings.append(
                Finding("misplaced", where, f"is a {footer.kind} file, its name says {expected}")
            )
            return True
        checks = RowChecks(where, footer)
        held.files.append(_checked(held.keys, name, file, footer, checks))
    except FileNotFoundError:
        return False
    except (Damaged, pa.ArrowException, KeyError, ValueError, OverflowError) as error:
        held.findings.append(damaged(where, path, error))
        return True
    held.findings += checks.findings
    held.doubles += checks.doubles
    held.rows += footer.rows
    return True


def _checked(
    keys: SensorHourKeys, name: StagedName, file: MappedFile, footer: Footer, checks: RowChecks
) -> HeldFile:
    """Check every row, and index the sensor-hours."""
    parts = []
    for rows in blocks_of(file):
        checks.feed(rows)
        parts.append(keys.keys(rows.series, rows.hours))
    checks.finish()
    row_keys = np.concatenate(parts) if parts else np.empty(0, np.int64)
    starts = np.flatnonzero(np.diff(row_keys, prepend=-1))
    counts = np.diff(np.append(starts, len(row_keys)))
    return HeldFile(
        name=name,
        path=file.path,
        footer=footer,
        size_bytes=file.size_bytes,
        keys=row_keys[starts],
        starts=starts,
        counts=counts,
        waiting=counts.copy(),
        checked=file,
    )
