"""How far a reading of a stored quality is trusted, told by table."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage.storage.quality import Numbering, Quality, judge_quality

NUMBERINGS: tuple[Numbering, ...] = ("opc-ua", "opc-da", "sparkplug")

every_numbering = pytest.mark.parametrize("numbering", NUMBERINGS)


@every_numbering
@pytest.mark.parametrize(
    ("stored", "expected"),
    [
        (None, "good"),
        ("", "good"),
        (" ", "good"),
        ("good", "good"),
        ("GOOD", "good"),
        ("Good_LocalOverride", "good"),
        ("Good, Clamped", "good"),
        ("ok", "good"),
        ("true", "good"),
        ("192", "good"),
        ("192.0", "good"),
        ("0xC0", "good"),
        ("uncertain", "uncertain"),
        ("UncertainLastUsableValue", "uncertain"),
        ("questionable", "uncertain"),
        ("bad", "bad"),
        ("BadSensorFailure", "bad"),
        ("Bad_Stale", "bad"),
        ("false", "bad"),
        ("invalid", "bad"),
        ("stale", "bad"),
        ("perhaps", "uncertain"),
        ("1.5", "uncertain"),
        ("NaN", "uncertain"),
        ("9" * 20, "uncertain"),
        ("9" * 5000, "uncertain"),
        ("٣", "uncertain"),
    ],
)
def test_nothing_and_words_are_judged_alike_in_every_numbering(
    stored: str | None, expected: str, numbering: Numbering
) -> None:
    assert judge_quality(stored, numbering) == expected


@pytest.mark.parametrize(
    ("numbering", "stored", "expected"),
    [
        ("opc-ua", "0", "good"),
        ("opc-ua", "10485760", "good"),
        ("opc-ua", "1073741824", "uncertain"),
        ("opc-ua", "0x40900000", "uncertain"),
        ("opc-ua", "2147483648", "bad"),
        ("opc-ua", "-2147483648", "bad"),
        ("opc-ua", "0x808C0000", "bad"),
        ("opc-ua", "4294967295", "bad"),
        ("opc-ua", "4294967296", "uncertain"),
        ("opc-da", "0", "bad"),
        ("opc-da", "24", "bad"),
        ("opc-da", "64", "uncertain"),
        ("opc-da", "128", "bad"),
        ("opc-da", "216", "good"),
        ("opc-da", "255", "good"),
        ("opc-da", "448", "good"),
        ("sparkplug", "0", "bad"),
        ("sparkplug", "500", "bad"),
        ("sparkplug", "1", "uncertain"),
        ("sparkplug", "-192", "uncertain"),
    ],
)
def test_numbers_are_judged_by_the_numbering(numbering: Numbering, stored: str, expected: str) -> None:
    assert judge_quality(stored, numbering) == expected


@given(st.text(max_size=12) | st.integers().map(str), st.sampled_from(NUMBERINGS))
def test_every_quality_has_a_judgement(stored: str, numbering: Numbering) -> None:
    assert judge_quality(stored, numbering) in set(Quality)
