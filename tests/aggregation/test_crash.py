"""A power cut at every durable step of aggregation; the next ordinary start ends in the same files."""

import shutil
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from sensor_storage.aggregation.again import SeenHours
from sensor_storage.aggregation.check import AggregateLook, adopt, check_aggregates
from sensor_storage.aggregation.files import encode_aggregate, read_aggregate
from sensor_storage.aggregation.raw_hours import LocalHours
from sensor_storage.aggregation.samples import judge_by
from sensor_storage.aggregation.stage import AggregatePolicy
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.tree_walk import hour_files
from sensor_storage.storage.verify import verify
from support.aggregates import (
    DAY,
    LATER,
    SECOND,
    Reading,
    aggregate,
    aggregator,
    arrive,
    changed,
    fresh,
    left_due,
    tree,
)
from support.forgetful import ForgetfulSteps, PowerCut, World

HOUR = 3600 * SECOND
ROWS = [Reading(DAY + number * 50 * 60 * SECOND, float(number)) for number in range(32)]
LATE = Reading(DAY + 24 * HOUR - 5 * 60 * SECOND, 99.0)


def _prepared(root: Path) -> Layout:
    """A day and a bit, aggregated; then a late reading just before midnight."""
    layout = fresh(root)
    arrive(layout, ROWS)
    aggregate(layout)
    arrive(layout, [*ROWS, LATE], [len(ROWS)])
    return layout


def _copy(before: Layout, root: Path) -> Layout:
    shutil.copytree(before.root, root)
    return Layout(root / "raw")


def _rebuild(layout: Layout) -> None:
    for suffix in ("", "-wal", "-shm"):
        layout.catalog.with_name(f"catalog.db{suffix}").unlink(missing_ok=True)
    with closing(Catalog(layout)) as catalog:
        catalog.replace(describe(path) for path in layout.hour_files())
        adopt(layout, catalog.aggregates, AggregatePolicy())


@pytest.mark.parametrize("catalog", ["kept", "lost"])
@pytest.mark.parametrize("world", ["killed", "lost", "some"])
def test_no_power_cut_leaves_other_aggregates_than_an_undisturbed_run(
    tmp_path: Path, world: World, catalog: str
) -> None:
    before = _prepared(tmp_path / "before")
    counted = _copy(before, tmp_path / "counted")
    disk = ForgetfulSteps(counted.root)
    _run(counted, disk)
    expected = tree(counted)
    assert left_due(counted) == 0
    assert disk.taken > 10
    for crash_at in range(disk.taken):
        for after in (False, True):
            layout = _copy(before, tmp_path / f"{crash_at}-{after}")
            steps = ForgetfulSteps(layout.root, crash_at=crash_at, after=after)
            with pytest.raises(PowerCut):
                _run(layout, steps)
            _forget(layout, steps, world, crash_at)
            if catalog == "lost":
                _rebuild(layout)
            aggregate(layout)
            assert changed(tree(layout), expected) == set()
            assert left_due(layout) == 0
            shutil.rmtree(layout.root)


def _run(layout: Layout, steps: ForgetfulSteps) -> None:
    running = aggregator(layout, steps=steps)
    while running.run_once(LATER, LATER).more:
        continue


def _forget(layout: Layout, steps: ForgetfulSteps, world: World, seed: int) -> None:
    """What the world keeps, and the catalog: SQLite syncs what it commits."""
    paths = [layout.catalog, layout.catalog.with_name("catalog.db-wal")]
    kept = {path: path.read_bytes() for path in paths if path.exists()}
    steps.forget(world, seed=seed)
    for path, data in kept.items():
        path.write_bytes(data)


def test_a_rebuilt_catalog_says_what_the_lost_one_said(tmp_path: Path) -> None:
    layout = _prepared(tmp_path / "data")
    due = left_due(layout)
    with closing(Catalog(layout)) as catalog:
        sums = catalog.aggregates.file_sums()
    _rebuild(layout)
    assert left_due(layout) == due == 1
    with closing(Catalog(layout)) as catalog:
        assert catalog.aggregates.file_sums() == sums
    _rebuild(layout)
    report = aggregate(layout)
    assert report.hours == 2  # the late reading's, and the next, in which it is held
    again = fresh(tmp_path / "again")
    arrive(again, [*ROWS, LATE])
    aggregate(again)
    assert changed(tree(layout), tree(again)) == set()


def _check(layout: Layout, *, full: bool = True) -> tuple[set[tuple[str, str]], int]:
    """What a look finds and what is due; a full one finds the same alone and while the hour files are verified."""
    source = LocalHours(layout, judge_by("opc-ua", uncertain_is_good=True)) if full else None
    with closing(Catalog(layout, read_only=True)) as catalog:
        check = check_aggregates(layout, catalog.aggregates, AggregatePolicy(), full_with=source)
        witness = AggregateLook(layout, catalog.aggregates, AggregatePolicy(), source)
        verify(layout, full=full, mark=False, witness=witness)
        assert witness.finish() == check
    return {(finding.kind, finding.where) for finding in check.findings}, check.due


def test_verification_finds_nothing_wrong_with_what_was_made_or_is_due(tmp_path: Path) -> None:
    layout = _prepared(tmp_path / "data")
    assert _check(layout) == (set(), 1)
    aggregate(layout)
    assert _check(layout) == (set(), 0)


def test_verification_names_what_is_damaged_stale_misplaced_or_of_other_bytes(tmp_path: Path) -> None:
    layout = fresh(tmp_path / "data")
    arrive(layout, ROWS)
    aggregate(layout)
    paths = [layout.root / path for path in tree(layout) if path.endswith("_minute.parquet")]
    damaged, stale, moved = paths[0], paths[5], paths[9]
    damaged.write_bytes(damaged.read_bytes()[:-7])
    stale.write_bytes(paths[4].read_bytes())
    moved.rename(moved.with_name("other_minute.parquet"))
    findings, _ = _check(layout, full=False)
    where = layout.relative
    assert ("damaged", where(damaged)) in findings
    assert ("misplaced", where(stale)) in findings
    assert ("misplaced", where(moved.with_name("other_minute.parquet"))) in findings
    assert {("stale", where(path)) for path in (damaged, stale, moved)} <= findings


def test_a_full_verification_makes_everything_again_and_sees_a_well_formed_lie(tmp_path: Path) -> None:
    layout, other = fresh(tmp_path / "data"), fresh(tmp_path / "other")
    arrive(layout, ROWS)
    aggregate(layout)
    lying = [row._replace(quality="bad") if row is ROWS[3] else row for row in ROWS]
    arrive(other, lying)
    aggregate(other)
    name = next(path for path in tree(layout) if path.endswith("_day.parquet"))
    (layout.root / name).write_bytes((other.root / name).read_bytes())
    quick, _ = _check(layout, full=False)
    assert quick == {("stale", name.rsplit("/", 1)[0] + "/01/temperature_hour.parquet")}
    full, _ = _check(layout)
    assert full == quick


def test_a_file_of_minutes_is_told_from_what_the_readings_seen_make(tmp_path: Path) -> None:
    layout = fresh(tmp_path / "data")
    arrive(layout, ROWS)
    aggregate(layout)
    key = next(CheckedFile(path).footer().sensor_hour for path in hour_files(layout))
    assert key is not None
    file = CheckedFile(layout.hour_file(key))
    path = layout.aggregate_file(key.series, "minute", key.start)
    judge = judge_by("opc-ua", uncertain_is_good=True)

    def told() -> str:
        seen = SeenHours(layout, judge, AggregatePolicy().parameters.carry_limit_us)
        seen.see(key, "content", file.readings())
        seen.settle()
        assert seen.find(key, "other content") is None
        found = seen.find(key, "content")
        assert found is not None
        return found.minutes

    sound = read_aggregate(path)
    assert told() == sound.digest
    for column in ("deviation", "changes", "last_timestamp"):
        lying = read_aggregate(path).statistics.take(np.arange(len(sound.statistics)))
        getattr(lying, column)[0] += 1
        footer = sound.footer
        data = encode_aggregate(
            footer.series, "minute", lying, sound.held, parts=footer.parts, parameters=footer.parameters
        )
        good = path.read_bytes()
        path.write_bytes(data)
        assert told() == ""
        path.write_bytes(good)
