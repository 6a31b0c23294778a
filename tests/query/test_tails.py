"""A sensor's newest readings, wherever they are."""

import tempfile
from math import isnan
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.clock import ManualClock
from sensor_storage.query.queries import Queries
from sensor_storage.storage.layout import Layout
from support.aggregates import SERIES, Reading, arrive, many_readings, readings_at
from support.trees import stage

HOUR = 3_600_000_000


@settings(deadline=None, max_examples=60)
@given(many_readings(), st.data())
def test_the_newest_readings_are_those_of_all_places_together(
    rows: list[Reading], data: st.DataObject
) -> None:
    everything = range(len(rows))
    filed = data.draw(st.lists(st.sampled_from(everything), unique=True))
    staged = data.draw(st.lists(st.lists(st.sampled_from(everything), min_size=1, unique=True), max_size=3))
    with tempfile.TemporaryDirectory() as folder:
        layout = Layout(Path(folder) / "raw")
        arrive(layout, rows, sorted(filed))
        for number, some in enumerate(staged):
            stage(
                layout,
                readings_at(rows, sorted(some)),
                number=(1 << 40) + number,
                start=min(some),
                stop=max(some) + 1,
            )
        with Queries(layout, ManualClock(0)).look() as now:
            last, recent = now.tails.recent(SERIES, 7)
        there = {*filed, *(offset for some in staged for offset in some)}
        mine = sorted(
            (row for offset, row in enumerate(rows) if offset in there and row.series == SERIES),
            key=lambda row: row.time,
        )
        assert (last.timestamp if last else None) == (mine[-1].time if mine else None)
        of_the_hour = [row for row in mine if row.time // HOUR == mine[-1].time // HOUR]
        if len({row.time for row in of_the_hour}) == len(of_the_hour):
            newest = [(row.time, row.value) for row in of_the_hour[-7:]]
            assert recent == [pair for pair in newest if not isnan(pair[1])]
