"""When uploads take the store for away, how long they leave it alone, and when all is as before."""

import pytest

from sensor_storage.cold.presence import Presence
from sensor_storage.cold.store import Away, Refused, ShutOut
from sensor_storage.errors import Damaged, SensorStorageError, Transient
from sensor_storage.model import Series
from sensor_storage.storage.receipts import Due

FAILED, GONE, SHUT, NEEDS_A_PERSON = Transient("no"), Away("no"), ShutOut("no"), Refused("no")
TAKEN, LATER = "taken", "later"
FILES = [Due(number, "raw", Series("press-1", "temperature"), number, 0) for number in range(40)]
WORKERS = 2


def presence() -> Presence:
    return Presence(WORKERS, lambda times: 10.0 * 2**times)


def tried(store: Presence, *found: SensorStorageError | str, first: int = 0) -> int:
    """How many files from the first on are tried of a page until it is no use."""
    for number, one in enumerate(found):
        if store.away:
            return number
        error = one if isinstance(one, SensorStorageError) else None
        store.hear(FILES[first + number], error, taken=one == TAKEN)
    store.end_page()
    return len(found)


@pytest.mark.parametrize(
    ("found", "so_many"),
    [
        ([FAILED] * 20, 3 * WORKERS),
        ([SHUT] * 20, 3 * WORKERS),
        ([FAILED, SHUT] * 10, 3 * WORKERS),
        ([GONE] * 20, 1),
        ([FAILED, LATER] * 10, 2 * 3 * WORKERS - 1),
        ([FAILED, Damaged("no")] * 10, 2 * 3 * WORKERS - 1),
        ([FAILED, TAKEN] * 10, 20),
        ([NEEDS_A_PERSON] * 20, 20),
        ([FAILED] * 5 + [NEEDS_A_PERSON] + [FAILED] * 14, 5 + 1 + 3 * WORKERS),
        ([TAKEN] * 10 + [FAILED] * 10, 10 + 3 * WORKERS),
    ],
    ids=[
        "no answer", "shut out", "both", "away", "sources waiting", "own damage", "every other",
        "each for itself", "one between", "amid the round",
    ],
)  # fmt: skip
def test_a_round_ends_after_failures_in_a_row_that_are_the_stores(
    found: list[SensorStorageError | str], so_many: int
) -> None:
    assert tried(presence(), *found) == so_many


@pytest.mark.parametrize(
    ("pages", "away"),
    [
        ([[]], False),
        ([[FAILED] * 3], False),
        ([[FAILED] * 4], True),
        ([[FAILED] * 3, [FAILED]], True),
        ([[TAKEN, FAILED] * 4], False),
        ([[TAKEN] + [FAILED] * 3, [FAILED]], True),
        ([[TAKEN] * 9, [FAILED] * 4, [TAKEN]], False),
    ],
)
def test_a_round_ends_after_a_page_with_more_failures_than_successes_so_far(
    pages: list[list[SensorStorageError | str]], away: bool
) -> None:
    store = presence()
    for page in pages:
        tried(store, *page)
    assert store.away == away
    assert (store.trouble is None) == (pages == [[]])


def test_a_store_that_was_away_is_asked_with_one_file_until_it_takes_one_and_each_time_later() -> None:
    store, now, waits = presence(), 0.0, []
    for times in range(4):
        assert not store.left_alone(now)
        store.begin_round()
        assert store.doubtful == (times > 0)
        assert tried(store, *[FAILED] * 20, first=times) == (1 if times else 3 * WORKERS)
        assert store.back() == []
        store.end_round(now)
        waits.append(10.0 * 2**times)
        assert store.left_alone(now + waits[-1] - 1)
        now += waits[-1]
    store.begin_round()
    # it is back: a failure is a file's own
    assert tried(store, LATER, NEEDS_A_PERSON, TAKEN, FAILED, first=20) == 4
    assert not store.away
    assert store.back() == FILES[: 3 * WORKERS]
    assert store.back() == []
    store.end_round(now)
    assert not store.left_alone(now)
    store.begin_round()
    assert not store.doubtful


def test_a_store_that_takes_one_and_no_more_is_left_alone_longer_each_time() -> None:
    store, now = presence(), 0.0
    for times in range(6):
        store.begin_round()
        assert tried(store, TAKEN, *[FAILED] * 20) == 1 + 3 * WORKERS
        store.end_round(now)
        now += 10.0 * 2**times
        assert store.left_alone(now - 1)
        assert not store.left_alone(now)


def test_what_fails_for_itself_or_fails_again_is_not_told_as_turned_away() -> None:
    store = presence()
    tried(store, FAILED, FAILED, TAKEN)  # it was there all the time
    store.end_round(0)
    store.begin_round()
    assert tried(store, TAKEN, *[FAILED] * 20) == 1 + 3 * WORKERS  # it goes
    store.end_round(0)
    store.begin_round()
    tried(store, TAKEN, NEEDS_A_PERSON, FAILED)
    assert store.back() == FILES[3 : 1 + 3 * WORKERS]


def test_few_files_that_all_failed_are_turned_away_too() -> None:
    store = presence()
    tried(store, FAILED, FAILED)
    store.end_round(0)
    assert not store.left_alone(0)
    store.begin_round()
    tried(store, TAKEN, first=1)
    assert store.back() == FILES[:2]


def test_it_is_asked_at_once_where_a_person_wants_it() -> None:
    store = presence()
    tried(store, GONE)
    store.end_round(0)
    assert store.left_alone(5)
    store.try_now()
    assert not store.left_alone(5)
