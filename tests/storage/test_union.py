"""A stored file is a set of readings: merging is set union by identity."""

import random
import struct
from collections.abc import Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa
from hypothesis import given, settings
from hypothesis import strategies as st

from sensor_storage.model import Series, Source
from sensor_storage.storage.arrow_columns import from_arrow, to_arrow
from sensor_storage.storage.coded import Coded
from sensor_storage.storage.readings import Readings, conflicts, union
from sensor_storage.storage.series_column import SeriesColumn
from support.trees import Row, rows_of

SURE = Source("a", "id", 0, 0)
UNSURE = Source("a", "", 0, -1)

rows = st.tuples(
    st.sampled_from([SURE, Source("a", "id", 1, 3), UNSURE]),
    st.integers(0, 6),
    st.integers(0, 2),
    st.sampled_from([Series("p", "x"), Series("p", "é"), Series("q", "x")]),
    st.integers(0, 5).map(lambda second: 1_704_067_200_000_000 + second * 1_000_000),
    st.sampled_from([None, 0.0, -0.0, 1.5, 1e300]),
    st.sampled_from([None, "on", "öff"]),
    st.integers(1, 2),
)


def _block(items: Sequence[tuple[object, ...]]) -> Readings:
    """A set: of rows with one identity and content only one is taken, as a file would hold them."""
    source, offset, index, series, timestamp, value, text, revision = (
        map(list, zip(*items, strict=True)) if items else ([],) * 8
    )
    return Readings(
        series=SeriesColumn.encode(series),
        timestamp=np.array(timestamp, np.int64),
        value=np.array([np.nan if v is None else v for v in value], np.float64),
        text=pa.array(text, pa.string()) if any(text) else None,
        unit=Coded.constant(None, len(items)),
        quality=Coded.constant("good", len(items)),
        source=Coded.encode(source),
        offset=np.array(offset, np.int64),
        index=np.array(index, np.int32),
        revision=np.array(revision, np.int16),
    )


def _sets(items: Sequence[tuple[object, ...]]) -> list[Readings]:
    """Each row is a set of its own."""
    return [_block([item]) for item in items]


def _naive(blocks: Sequence[Readings]) -> list[Row]:
    """Union by a dictionary: the higher revision wins, then the larger hash; doubtful addresses keep both."""
    best: dict[object, tuple[tuple[int, int], Row]] = {}
    for block in blocks:
        for place, row in enumerate(_unsorted(block)):
            source = row[0]
            identity: object = row[:3]
            if source == UNSURE:
                identity = (identity, int(block.hashes[place]))
            rank = (int(block.revision[place]), int(block.hashes[place]))
            if identity not in best or rank > best[identity][0]:
                best[identity] = (rank, row)
    return sorted((row for _, row in best.values()), key=repr)


def _unsorted(block: Readings) -> list[Row]:
    return [row for place in range(len(block)) for row in rows_of(block.slice(place, place + 1))]


@settings(deadline=None)
@given(st.lists(rows, max_size=25), st.randoms(use_true_random=False))
def test_union_equals_a_dictionary_by_identity_in_any_order_and_grouping(
    items: list[tuple[object, ...]], chance: random.Random
) -> None:
    singles = _sets(items)
    expected = _naive(singles)
    assert rows_of(union(singles)) == expected
    chance.shuffle(singles)
    cut = chance.randint(0, len(singles))
    left, right = union(singles[:cut]), union(singles[cut:])
    assert rows_of(union([left, right])) == expected
    assert rows_of(union([right, left, left])) == expected


@given(st.lists(rows, max_size=25))
def test_union_is_in_canonical_order(items: list[tuple[object, ...]]) -> None:
    whole = union(_sets(items))
    keys = list(
        zip(
            whole.series.tolist(),
            whole.timestamp.tolist(),
            whole.source.tolist(),
            whole.offset.tolist(),
            whole.index.tolist(),
            strict=True,
        )
    )
    assert keys == sorted(keys, key=repr) or keys == sorted(keys)


@given(st.lists(rows, min_size=1, max_size=25))
def test_readings_survive_the_file_and_their_hashes_do_not_depend_on_the_company(
    items: list[tuple[object, ...]],
) -> None:
    whole = union(_sets(items))
    again = from_arrow(to_arrow(whole))
    assert rows_of(again) == rows_of(whole)
    assert again.hashes.tolist() == whole.hashes.tolist()
    alone = [whole.slice(place, place + 1).compact().take(np.array([0])) for place in range(len(whole))]
    fresh = [from_arrow(to_arrow(one)).hashes[0] for one in alone]
    assert fresh == whole.hashes.tolist()


def test_unequal_readings_of_one_doubtful_address_are_both_kept_and_counted() -> None:
    first = (UNSURE, 1, 0, Series("p", "x"), 1_704_067_200_000_000, 1.0, None, 1)
    other = (UNSURE, 1, 0, Series("p", "x"), 1_704_067_200_000_000, 2.0, None, 1)
    whole = union(_sets([first, other, first]))
    assert len(whole) == 2
    assert conflicts(whole) == 1


def test_the_row_hash_is_the_documented_one() -> None:
    row = (SURE, 5, 1, Series("p", "x"), 1_704_067_200_000_000, 1.5, "on", 1)
    expected = _documented_hash(
        timestamp=1_704_067_200_000_000,
        value=struct.unpack("<Q", struct.pack("<d", 1.5))[0],
        offset=5,
        index=1,
        asset=_string("p"),
        sensor=_string("x"),
        source=_string("1:a2:id1:01:0"),
        quality=_string("good"),
        text=_string("on"),
    )
    assert _block([row]).hashes.tolist() == [expected] == [8_395_347_677_125_963_201]


def _string(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), digest_size=8).digest(), "little")


def _documented_hash(**columns: int) -> int:
    mixed = sum(number * (_string(name) | 1) for name, number in columns.items()) % 2**64
    for factor in (0xFF51AFD7ED558CCD, 0xC4CEB9FE1A85EC53):
        mixed = (mixed ^ mixed >> 33) * factor % 2**64
    return mixed ^ mixed >> 33
