"""Names come from strangers: none leaves its root, none meets another, each is read back as it was."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.hour_files import describe
from sensor_storage.storage.layout import MAX_SEGMENT_BYTES, Layout, StagedName, encode_name
from support.trees import HOUR, NOW, compactor, readings_of, stage

NASTY = [
    "../../etc/x", "a/b", "a\\b", "nul\0here", "ü" * 150, "ü" * 151, "CON", ".", "..", "🏭", "a.b", ".a", "a.",
    "a..b", "~", "%", "%41", "A", "a", "é", "e\u0301", "x" * 200, "x" * 201, "x" * 202, " ", "\n", "a b", "*",
    "raw.parquet", "\u202eevil", "<img onerror=alert(1)>",
]  # fmt: skip


@pytest.mark.parametrize("name", NASTY, ids=range(len(NASTY)))
def test_a_name_stays_one_safe_segment(name: str) -> None:
    segment = encode_name(name)
    assert 0 < len(segment.encode()) <= MAX_SEGMENT_BYTES
    assert not set(segment) & set("/\\\0\n *")
    assert segment not in {".", ".."}
    assert not segment.startswith(".")
    assert not segment.endswith(".")


def test_nasty_names_do_not_meet() -> None:
    assert len({encode_name(name) for name in NASTY}) == len(NASTY)


@given(st.text(max_size=300), st.text(max_size=300))
def test_two_names_never_share_a_segment(one: str, other: str) -> None:
    assert (encode_name(one) == encode_name(other)) == (one == other)


def test_every_name_is_stored_listed_and_read_back_under_its_true_name(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    series = [Series(name, other) for name in NASTY for other in (name, "plain")]
    stage(layout, readings_of(range(len(series)), series=series), number=0, start=0, stop=len(series))
    compactor(layout).run_once(NOW, NOW, flush=True)
    found = {describe(path).key.series for path in layout.hour_files()}
    assert found == set(series)
    assert {entry.series for entry in Catalog(layout, read_only=True).coverage()} == set(series)
    assert all(layout.raw in path.resolve().parents for path in layout.hour_files())
    for one in series:
        assert describe(layout.hour_file(SensorHour(one, HOUR))).key.series == one


@given(
    st.integers(0, 10**13 - 1), st.from_regex(r"[a-z0-9]+", fullmatch=True), st.integers(0), st.integers(0, 9)
)
def test_a_staged_files_name_is_read_back(created: int, worker: str, number: int, level: int) -> None:
    name = StagedName(created, worker, number, level)
    assert StagedName.parse(str(name)) == name
