"""The page's state as its address, and back: a property of the module itself, run by node."""

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from support.page_modules import run_by_node

THERE_AND_BACK = """
import { leftOut, read, write } from "./src/link.ts";
const views = JSON.parse(process.argv[1]);
console.log(JSON.stringify(views.map((view) => [write(view), read(write(view), 0), leftOut(write(view))])));
"""
LEFT_OUT = """
import { leftOut } from "./src/link.ts";
console.log(JSON.stringify(JSON.parse(process.argv[1]).map(leftOut)));
"""
NAMES = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
SECONDS = st.integers(1_000_000_000_000, 2_000_000_000_000).map(lambda milliseconds: milliseconds / 1000)

ENDS = st.floats(allow_nan=False, allow_infinity=False, width=32).map(lambda end: end + 0.0)
SCALES = st.tuples(ENDS, ENDS).filter(lambda ends: ends[0] < ends[1]).map(list)


@st.composite
def _views(draw: st.DrawFn) -> dict[str, Any]:
    start = draw(SECONDS)
    marks = draw(st.dictionaries(st.sampled_from(["A", "B"]), SECONDS))
    pen = st.fixed_dictionaries(
        {
            "asset": NAMES,
            "sensor": NAMES,
            "step": st.booleans(),
            "own": st.booleans(),
            "colour": st.integers(0, 9),
            "scale": st.none() | SCALES,
        }
    )
    return {
        "tab": draw(st.sampled_from(["trend", "overview", "pipeline", "files"])),
        "pens": draw(st.lists(pen, max_size=10)),
        "from": start,
        "to": start + draw(st.integers(1, 10_000)),
        "live": False,
        "zone": draw(st.sampled_from(["UTC", "Europe/Berlin", "Pacific/Chatham"])),
        "shift": draw(st.sampled_from([0, 3600, 86_400, 604_800, 90])),
        "resolution": draw(st.sampled_from(["auto", "raw", "minute", "hour", "day"])),
        "gap": draw(st.sampled_from([2, 5, 20])),
        "filter": draw(st.text(st.characters(exclude_categories=["Cs"]), max_size=20)),
        "marks": marks,
        "asset": draw(st.one_of(st.just(""), NAMES)),
    }


@pytest.mark.filterwarnings("ignore::hypothesis.errors.NonInteractiveExampleWarning")
@settings(max_examples=5, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.lists(_views(), min_size=40, max_size=80))
def test_every_state_comes_back_from_its_link(views: list[dict[str, Any]]) -> None:
    for view, (link, found, left_out) in zip(views, run_by_node(THERE_AND_BACK, views), strict=True):
        assert found == view, link
        assert left_out == [], link


LINKS = {
    "?pen=press-1/force&live=8h&tz=Etc/UTC&resolution=auto&gap=2": [],
    "?tab=nowhere&resolution=week&tz=Mars/Base&shift=soon&gap=none": [
        "tab=nowhere",
        "resolution=week",
        "tz=Mars/Base",
        "shift=soon",
        "gap=none",
    ],
    "?pen=press-1&live=-1h&speed=3": ["pen=press-1", "live=-1h", "speed=3"],
    "?from=2026-01-02&to=2026-01-01": ["a window needs from and to, in this order"],
    "?to=2026-01-02": ["a window needs from and to, in this order"],
    "?" + "&".join(["pen=a/b"] * 11): ["more than 10 pens"],
}


def test_what_a_link_says_in_vain_is_named() -> None:
    assert dict(zip(LINKS, run_by_node(LEFT_OUT, list(LINKS)), strict=True)) == LINKS
