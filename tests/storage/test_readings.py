"""Blocks of readings: order and content are functions of the set alone, in memory and in a file."""

import itertools
import random
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.errors import Damaged
from sensor_storage.model import MICROSECONDS_PER_HOUR, SensorHour, Series, Source
from sensor_storage.storage.arrow_columns import from_arrow, to_arrow
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import Footer, totals_of
from sensor_storage.storage.hour_files import merge_into_hour_file, read_hour_file
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile, encode_readings
from sensor_storage.storage.readings import Readings, _offset_ranges, overlap, union
from sensor_storage.storage.series_column import SeriesColumn
from support.trees import HOUR, readings_of, rows_of

SURE = Source("a", "id", 0, 0)
UNSURE = Source("a", "", 0, 0)
LIMITS = np.iinfo(np.int64)


def block(
    values: list[float],
    *,
    source: Source = SURE,
    offsets: list[int] | None = None,
    timestamps: list[int] | None = None,
    texts: list[str | None] | None = None,
    revision: int = 1,
) -> Readings:
    count = len(values)
    start = HOUR * MICROSECONDS_PER_HOUR
    return Readings(
        series=SeriesColumn.constant(Series("p", "x"), count),
        timestamp=np.array([start] * count if timestamps is None else timestamps, np.int64),
        value=np.array(values, np.float64),
        text=pa.array(texts, pa.string()) if texts else None,
        unit=Coded.constant(None, count),
        quality=Coded.constant(None, count),
        source=Coded.constant(source, count),
        offset=np.array(range(count) if offsets is None else offsets, np.int64),
        index=np.zeros(count, np.int32),
        revision=np.full(count, revision, np.int16),
    )


def _bytes(readings: Readings) -> bytes:
    footer = Footer(kind="hour", rows=len(readings), totals=totals_of(readings))
    return bytes(encode_readings(readings, footer))


def test_doubtful_rows_of_several_revisions_unite_alike_in_every_grouping() -> None:
    sets = [
        block([value], source=UNSURE, offsets=[1], revision=revision)
        for revision, value in itertools.product((1, 2), (1.0, 2.0, 3.0))
    ]
    at_once = union(sets)
    assert len(at_once) == 3
    assert at_once.revision.tolist() == [2, 2, 2]
    for order in itertools.permutations(sets, 4):
        one, two, three, four = order
        rest = [item for item in sets if item not in order]
        assert _bytes(union([union([one, two]), union([three, four, *rest])])) == _bytes(at_once)


def test_equal_sets_make_equal_files_even_when_addresses_are_doubtful() -> None:
    first, other = (block([value], source=UNSURE, offsets=[1]) for value in (1.0, 2.0))
    assert _bytes(union([first, other])) == _bytes(union([other, first]))


def test_equal_content_of_a_higher_revision_is_remembered_by_the_file(tmp_path: Path) -> None:
    layout, key = Layout(tmp_path / "raw"), SensorHour(Series("p", "x"), HOUR)
    disk = Disk(layout.root)
    for revision, value in ((1, 1.0), (2, 1.0), (1, 7.0), (1, 9.0)):
        merge = merge_into_hour_file(disk, layout, key, block([value], revision=revision), "zstd")
        disk.publish([merge.aside] if merge.aside else [])
    held = read_hour_file(layout.hour_file(key), key)[0]
    assert (held.value.tolist(), held.revision.tolist()) == ([1.0], [2])


def test_every_null_value_has_one_hash_whatever_its_bits() -> None:
    bits = np.array([0x7FF8 << 48, 0xFFF8 << 48, (0x7FF8 << 48) + 1, 0x7FF4 << 48], np.uint64)
    odd = [block([value], texts=["on"]) for value in bits.view(np.float64).tolist()]
    for one, payload in zip(odd, bits, strict=True):
        one.value.view(np.uint64)[:] = payload
    assert len({int(one.hashes[0]) for one in odd}) == 1
    assert [from_arrow(to_arrow(one)).hashes[0] for one in odd] == [one.hashes[0] for one in odd]


def test_extreme_values_and_times_survive_the_file_in_canonical_order(tmp_path: Path) -> None:
    times = [LIMITS.max, LIMITS.min, 0, -1, 1, LIMITS.max - 1]
    values = [-0.0, 0.0, 5e-324, np.inf, -np.inf, np.nan]
    texts: list[str | None] = ["", None, "\0", "ÿ€🏭", "e\u0301", "x" * 100_000]
    ordered = block(values, timestamps=times, texts=texts).sorted()
    assert ordered.timestamp.tolist() == sorted(times)
    path = tmp_path / "file.parquet"
    path.write_bytes(_bytes(ordered))
    again = CheckedFile(path).readings()
    assert rows_of(again) == rows_of(ordered)
    assert again.hashes.tolist() == ordered.hashes.tolist()
    assert np.signbit(again.value).tolist() == np.signbit(ordered.value).tolist()


@given(
    st.lists(st.lists(st.tuples(st.integers(0, 2), st.integers(0, 30)), min_size=1, max_size=4), max_size=5)
)
def test_ranges_are_called_disjoint_exactly_when_no_two_blocks_overlap(
    addresses: list[list[tuple[int, int]]],
) -> None:
    blocks = [
        union([block([1.0], source=Source("a", "id", part, 0), offsets=[at]) for part, at in one])
        for one in addresses
    ]
    spans = [
        (number, part, min(at for p, at in one if p == part), max(at for p, at in one if p == part))
        for number, one in enumerate(addresses)
        for part in {part for part, _ in one}
    ]
    overlapping = any(
        a[0] != b[0] and a[1] == b[1] and a[2] <= b[3] and b[2] <= a[3]
        for a, b in itertools.combinations(spans, 2)
    )
    assert overlap([_offset_ranges(block) for block in blocks]) == overlapping


words = st.sampled_from([None, "", "a", "b", "ü", "\0"])


@given(st.lists(st.lists(words, max_size=8), max_size=4), st.data())
def test_a_coded_column_is_the_list_it_stands_for(parts: list[list[str | None]], data: st.DataObject) -> None:
    coded = [Coded[str].encode(part) for part in parts]
    plain = [word for part in parts for word in part]
    whole = Coded[str].concat(coded)
    assert whole.tolist() == plain
    assert len(set(whole.values)) == len(whole.values)
    rows = data.draw(st.lists(st.integers(0, len(plain) - 1), max_size=9) if plain else st.just([]))
    taken = whole.take(np.array(rows, np.int64))
    assert taken.tolist() == [plain[row] for row in rows]
    assert set(taken.compact().values) == {plain[row] for row in rows} - {None}
    assert taken.compact().tolist() == taken.tolist()
    folded = whole.map_values(len)
    assert folded.tolist() == [None if word is None else len(word) for word in plain]
    order = sorted(set(whole.values))
    assert whole.ranks().tolist() == [-1 if word is None else order.index(word) for word in plain]
    lengths = np.array([len(word) for word in whole.values], np.int64)
    assert whole.lookup(lengths, np.int64(-7)).tolist() == [-7 if w is None else len(w) for w in plain]


@pytest.fixture(scope="module")
def grouped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A segment of several row groups."""
    path = tmp_path_factory.mktemp("grouped") / "segment.parquet"
    series = [Series(f"p{n % 3}", f"s{n}") for n in range(7)]
    readings = readings_of(range(40_000), series=series).sorted()
    footer = Footer(kind="segment", rows=len(readings), totals=totals_of(readings))
    path.write_bytes(encode_readings(readings, footer))
    return path


def test_rows_from_to_equal_a_slice_of_all_rows(grouped: Path) -> None:
    file = CheckedFile(grouped)
    whole = file.readings()
    edges = [0, 1, 16_383, 16_384, 16_385, 32_768, 39_999, 40_000, 40_001]
    for start, stop in itertools.product(edges, edges):
        assert rows_of(file.rows(start, stop)) == rows_of(
            whole.slice(start, min(stop, len(whole))) if start < min(stop, len(whole)) else Readings.empty()
        )


def _refused(path: Path, good: bytes, bits: "range | list[int]") -> None:
    for bit in bits:
        data = bytearray(good)
        data[bit // 8] ^= 1 << bit % 8
        path.write_bytes(data)
        with pytest.raises(Damaged):
            CheckedFile(path)


def test_every_single_bit_flip_of_a_small_file_is_refused_before_it_is_opened(tmp_path: Path) -> None:
    good = _bytes(block([1.0, 2.0]))
    _refused(tmp_path / "file.parquet", good, range(len(good) * 8))


def test_flips_cuts_and_other_files_are_refused(grouped: Path, tmp_path: Path) -> None:
    good = grouped.read_bytes()
    _refused(tmp_path / "flipped", good, random.Random(3).sample(range(len(good) * 8), 300))
    other = tmp_path / "other"
    for data in (b"", b"PAR1", b"PAR1PAR1PAR1", good[:-1], good[1:], good[: len(good) // 2], good + b"\0"):
        other.write_bytes(data)
        with pytest.raises(Damaged):
            CheckedFile(other)
