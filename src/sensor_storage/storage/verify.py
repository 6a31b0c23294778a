"""Prove from files alone that every message consumed is stored exactly once.

The ledger says what was consumed; the tree is, for each sensor-hour, the union of its hour file and its staged
rows. One look takes these steps, in this order because rows and entries only move this way:
 1. hold the staged files open and read the ledger files (`held_staging`);
 2. read the dead letters;
 3. count the staged rows, each sensor-hour united with its hour file;
 4. count the hour files the catalog names; in an incremental look those it has as verified are only looked at
    by size and carried digest, and counted by the totals the catalog holds;
 5. count the hour files the catalog does not name;
 6. count those that are in the cold store alone by now, by the totals the catalog holds;
 7. look again at whatever may have moved: what the ledger did not know yet, where the catalog lagged.

A difference between tree and ledger is looked at again, every row of every file, and named; only what is
still there then is reported. So the service may run meanwhile.
"""

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

from sensor_storage.errors import Damaged
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.findings import Finding
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.look import Look, Progress, Witness
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.tally import Difference, Tally
from sensor_storage.storage.trace import Trace
from sensor_storage.storage.verify_report import VerifyReport

_MAX_LOOKS = 4
_MAX_FINDINGS = 1000


def verify(
    layout: Layout,
    *,
    full: bool = False,
    mark: bool = True,
    progress: Progress | None = None,
    witness: Witness | None = None,
) -> VerifyReport:
    """Look at the whole data directory; the report's findings are empty when nothing is wrong.

    With `full` every row is read; otherwise hour files verified before are trusted while their digest is the
    same. With `mark` the catalog remembers which files were found good. The witness is shown files of the catalog.
    """
    catalog, findings = _open_catalog(layout, writable=mark)
    suspects: list[Difference] = []
    try:
        for number in range(_MAX_LOOKS):
            look = Look(
                layout,
                catalog,
                full=full or bool(number),
                trace=Trace(suspects),
                progress=progress,
                witness=None if number else witness,
            )
            differences = look.take()
            if not differences or look.trace.covers(differences):
                break
            suspects = differences
        if catalog and mark:
            look.mark()
    finally:
        if catalog:
            catalog.close()
    named = [look.trace.explain(item, _answered(look.tally, item)) for item in differences]
    every = sorted({*findings, *look.findings, *named})
    return look.report(every[:_MAX_FINDINGS], len(every), differences)


def stored_rows(
    layout: Layout,
    use: Callable[[Readings], None],
    find: Callable[[Path], Path] | None = None,
    bad: Callable[[HourFile, Damaged], None] = lambda *_: None,
) -> None:
    """Give every stored reading once, in blocks; damaged files are passed over, for `verify` names them.

    Files that are in the cold store alone are read where `find` has them; the `bad` among them are told.
    """
    Look(layout, None, full=True, trace=Trace(()), progress=None, witness=None, use=use).take()
    if find is None or not layout.catalog.exists():
        return
    with closing(Catalog(layout, read_only=True)) as catalog:
        for entry in catalog.cold_files():
            if not entry.path.exists():
                try:
                    file = CheckedFile(find(entry.path))
                except Damaged as error:
                    bad(entry, error)
                    continue
                for group in file.groups():
                    use(file.rows(group.start, group.stop))


def _open_catalog(layout: Layout, *, writable: bool) -> tuple[Catalog | None, list[Finding]]:
    """The catalog, if there is one; proof does not need it."""
    if not layout.catalog.exists():
        return None, []
    try:
        catalog = Catalog(layout, read_only=not writable)
        catalog.sums()
    except sqlite3.DatabaseError as error:
        where = layout.relative(layout.catalog)
        return None, [Finding("damaged", where, f"cannot be read: {error}", "run `sensor-storage rebuild`")]
    return catalog, []


def _answered(tally: Tally, item: Difference) -> int:
    """How many messages the entries of a differing range count."""
    entries = tally.of(item.source).entries
    return sum(entry.messages for entry in entries if item.start <= entry.start and entry.stop <= item.stop)
