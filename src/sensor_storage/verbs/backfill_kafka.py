"""What `backfill --from-kafka` does: messages that were never consumed into this directory."""

from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from typing import NamedTuple

from sensor_storage.config import Settings
from sensor_storage.consuming import build_decoder, build_log_reader
from sensor_storage.errors import Owned, Usage
from sensor_storage.kafka.consumer import Partition
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.kafka.past import Past, PastMessages, Range, parse_range, plan_past
from sensor_storage.kafka.topics import TopicDirectory
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.held_staging import entries_now
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, covered
from sensor_storage.storage.ownership import own
from sensor_storage.storage.spans import Span
from sensor_storage.verbs.options import Output
from sensor_storage.verbs.reaching import reach_kafka
from sensor_storage.verbs.room import Room, staged_names


class Times(NamedTuple):
    """From when and up to when, by Kafka's timestamps, in seconds; none: from the first, to the last."""

    start: float | None
    stop: float | None


@dataclass(frozen=True, slots=True)
class _Part:
    """One partition of what is asked for: which offsets, and what of them is to be read."""

    asked: Span
    windows: list[Window]
    waits: bool


def from_kafka(
    output: Output, settings: Settings, layout: Layout, ranges: Iterable[str], times: Times, *, dry_run: bool
) -> int:
    """Store what the ranges have and the ledger does not answer for. Usage where there is no such topic."""
    wanted = [(parse_range(text), times) for text in ranges]
    reach_kafka(output, settings, layout)
    topics = TopicDirectory(settings.kafka.client_properties())
    ids = topics.ids(sorted({one.topic for one, _ in wanted}))
    with ExitStack() as held:
        mine = True
        try:
            held.enter_context(own(layout))  # so that no service starts to read the same messages
        except Owned:
            mine = False
        log, room = build_log_reader(settings), Room(settings, layout, mine=mine)
        past = PastMessages(
            layout=layout,
            disk=Disk(layout.root),
            log=log,
            topic_id=lambda topic: topics.ids([topic]).get(topic, ""),
            decode=build_decoder(settings).decode,
            names=staged_names(),
            compression=settings.storage.parquet_compression,
        )
        whole = Past()
        for place, part in _parts(settings, layout, log, ids, wanted, mine=mine):
            whole.add(_one(output, past, place, part, room, dry_run=dry_run))
        if not dry_run:
            room.settle()
    output.summary(
        {**asdict(whole), "dry_run": dry_run},
        f"{whole.readings:,} readings of {whole.messages:,} messages {'would be' if dry_run else 'were'} stored",
    )
    return 0


def _one(
    output: Output, past: PastMessages, place: Partition, part: _Part, room: Room, *, dry_run: bool
) -> Past:
    topic, partition = place
    where, whole = f"{topic}/{partition}", Past()

    def told(done: Past) -> None:
        messages = whole.messages + done.messages
        output.progress({"where": where, "messages": messages}, f"{where}: {messages:,} messages …")
        if not dry_run:
            room.make()

    for window in part.windows:
        whole.add(past.run(window, store=not dry_run, told=told))
    start, stop = part.asked
    offsets = {"start": start, "stop": stop}
    output.item(
        {"topic": topic, "partition": partition, **offsets, **asdict(whole), "waits_for_service": part.waits},
        _line(where, part, whole),
    )
    return whole


def _parts(
    settings: Settings,
    layout: Layout,
    log: LogReader,
    ids: Mapping[str, str],
    wanted: Iterable[tuple[Range, Times]],
    *,
    mine: bool,
) -> Iterator[tuple[Partition, _Part]]:
    """What to read of each partition. The ledger is looked at after the group's offsets: it is ahead of them."""
    committed, known = log.committed(), entries_now(layout)
    for one, times in wanted:
        there = log.partitions(one.topic)
        if one.topic not in ids or (one.partition is not None and one.partition not in there):
            raise Usage(
                f"{_spelled(one)} is not there", hint="sensor-storage check --only kafka lists the topics"
            )
        for partition in there if one.partition is None else [one.partition]:
            key = one.topic, partition
            low, high = log.bounds(key)
            asked = _asked(log, key, one, times, (low, high))
            limit = _limit(settings, key, committed.get(key), ids[one.topic], mine=mine)
            place = one.topic, ids[one.topic], partition
            windows = plan_past(asked, (low, high), limit, covered(_of(place, known)))
            waits = limit is not None and limit < min(asked[1], high)
            yield key, _Part(asked, [Window(*place, *span) for span in windows], waits)


def _asked(log: LogReader, key: Partition, one: Range, times: Times, there: Span) -> Span:
    """The offsets that are asked for, as numbers."""
    start, stop = there
    if times.start is not None:
        found = log.offset_at(key, round(times.start * 1000))
        start = stop if found is None else found
    if times.stop is not None:
        found = log.offset_at(key, round(times.stop * 1000))
        stop = stop if found is None else found
    start = start if one.start is None else max(start, one.start)
    return start, max(start, stop if one.stop is None else min(stop, one.stop))


def _limit(
    settings: Settings, key: Partition, committed: tuple[int, str] | None, topic_id: str, *, mine: bool
) -> int | None:
    """From which offset on the group reads the partition, now or once it runs; None where it has not begun to."""
    if committed and committed[1] in {"", topic_id}:
        return committed[0]
    beside = not mine and settings.kafka.topic_pattern.match(key[0])
    return 0 if beside else None


def _of(place: tuple[str, str, int], entries: Iterable[LedgerEntry]) -> Iterator[LedgerEntry]:
    return (entry for entry in entries if entry.source[:3] == place)


def _line(where: str, part: _Part, done: Past) -> str:
    start, stop = part.asked
    read = sum(window.stop - window.start for window in part.windows)
    words = [f"{where}@{start}:{stop}   {done.messages:,} messages   {done.readings:,} readings"]
    if done.dead_letters:
        words.append(f"{done.dead_letters:,} dead letters")
    if part.waits:
        words.append("the rest is for the service, which has not come so far")
    elif read < stop - start:
        words.append(f"{stop - start - read:,} offsets were consumed before")
    return "   ".join(words)


def _spelled(one: Range) -> str:
    return one.topic if one.partition is None else f"{one.topic}/{one.partition}"
