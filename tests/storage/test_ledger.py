"""The ledger folds without forgetting, and knows every address it answers for."""

from itertools import pairwise

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.model import Source
from sensor_storage.storage.ledger import Coverage, LedgerEntry, fold, uncovered

SOURCE = Source("a", "id", 0, 0)


def _entries(cuts: list[int]) -> list[LedgerEntry]:
    edges = sorted({*cuts})
    return [
        LedgerEntry(
            SOURCE,
            start,
            stop,
            messages=stop - start,
            readings=2 * (stop - start),
            hash_sum=2**64 - start - 1,
        )
        for start, stop in pairwise(edges)
        if start % 5
    ]


@given(st.lists(st.integers(0, 60), max_size=20))
def test_folding_keeps_sums_and_addresses_and_is_idempotent(cuts: list[int]) -> None:
    entries = _entries(cuts)
    folded = fold(entries)
    assert fold(folded) == folded
    assert fold([*entries, *folded, *entries]) == folded
    assert sum(one.readings for one in folded) == sum(one.readings for one in entries)
    assert sum(one.hash_sum for one in folded) % 2**64 == sum(one.hash_sum for one in entries) % 2**64
    for offset in range(62):
        assert ((SOURCE, offset) in Coverage(folded)) == any(
            one.start <= offset < one.stop for one in entries
        )


@given(st.lists(st.integers(0, 60), max_size=20), st.lists(st.integers(0, 70), max_size=30))
def test_what_is_answered_for_is_passed_over_and_nothing_else(cuts: list[int], asked: list[int]) -> None:
    entries = _entries(cuts)
    offsets = np.array(sorted(asked), np.int64)
    mask = Coverage(entries).unanswered(SOURCE, offsets)
    expected = [not any(one.start <= offset < one.stop for one in entries) for offset in sorted(asked)]
    assert (expected if mask is None else mask.tolist()) == expected


def test_without_a_topic_id_nothing_counts_as_answered_and_nothing_is_folded() -> None:
    nameless = Source("a", "", 0, 0)
    entries = [LedgerEntry(nameless, 0, 10, messages=10), LedgerEntry(nameless, 10, 20, messages=10)]
    assert fold(entries) == entries
    assert Coverage(entries).unanswered(nameless, np.arange(20)) is None
    inside = LedgerEntry(nameless, 2, 5, messages=3)
    assert len(list(uncovered([*entries, inside]))) == 3
