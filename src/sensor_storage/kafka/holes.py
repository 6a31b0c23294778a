"""Where the ledger's memory has holes: offsets that were consumed, and that it does not answer for."""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path

from sensor_storage.errors import Damaged
from sensor_storage.kafka.consumer import Partition
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.hour_files import HourFile
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, covered
from sensor_storage.storage.readings import Readings
from sensor_storage.storage.spans import Span, without
from sensor_storage.storage.verify import stored_rows

Place = tuple[str, str, int]


def tree_bounds(
    layout: Layout,
    find: Callable[[Path], Path] | None = None,
    bad: Callable[[HourFile, Damaged], None] = lambda *_: None,
) -> dict[Place, Span]:
    """By partition the first offset of which a reading is stored, and the one after the last.

    A blob of the cold store that is lost is `bad`.
    """
    found: dict[Place, Span] = {}

    def note(rows: Readings) -> None:
        for total in rows.totals() if len(rows) else ():
            first, stop = found.get(total.source[:3], (total.first_offset, 0))
            span = min(first, total.first_offset), max(stop, total.last_offset + 1)
            found[total.source[:3]] = span

    stored_rows(layout, note, find, bad)
    return found


def plan_holes(
    entries: Iterable[LedgerEntry],
    bounds: Mapping[Place, Span],
    committed: Mapping[Partition, tuple[int, str]],
    ids: Mapping[str, str],
    from_start: Callable[[Partition], Span] | None,
) -> list[Window]:
    """The holes of every partition: up to what is known to have been consumed, by ledger, tree or commit.

    They begin with the first offset known to the ledger or the tree. Where it may have forgotten its first ones,
    `from_start` asks what Kafka still has of a partition, and they begin there if that is earlier.
    """
    by_place: dict[Place, list[LedgerEntry]] = {place: [] for place in bounds}
    for entry in entries:
        by_place.setdefault(entry.source[:3], []).append(entry)
    ends = {
        (topic, ids[topic], partition): offset
        for (topic, partition), (offset, topic_id) in committed.items()
        if topic in ids and topic_id in {"", ids[topic]}
    }
    if from_start:
        by_place |= {place: [] for place in ends if place not in by_place}
    holes = []
    for place, mine in sorted(by_place.items()):
        known = [*covered(mine), *([bounds[place]] if place in bounds else [])]
        begin = min((start for start, _ in known), default=ends.get(place, 0))
        end = max([*(stop for _, stop in known), ends.get(place, 0)])
        if from_start and ids.get(place[0]) == place[1]:
            begin = min(begin, from_start((place[0], place[2]))[0])
        holes += [Window(*place, start, stop) for start, stop in without([(begin, end)], covered(mine))]
    return holes
