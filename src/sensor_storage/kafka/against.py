"""The tree held against the broker's own messages: is each of them stored, with every reading it makes?

The files alone can't tell of a message that was never counted. The broker can, of those it still has. What has no
message there is no loss: control records of transactions, messages of aborted ones, offsets that compaction has
taken, tombstones. What is stored of these is told apart from what should not be there.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import msgspec
import numpy as np
from numpy.typing import NDArray

from sensor_storage.kafka.compared import Compared, Decode, compare
from sensor_storage.kafka.log_reader import LogReader
from sensor_storage.model import Source
from sensor_storage.storage.findings import Finding, addresses, span_name
from sensor_storage.storage.held_staging import dead_letter_offsets
from sensor_storage.storage.holdings import Elements, Holdings, Window, plan_passes
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry, covered
from sensor_storage.storage.verify import stored_rows

_MOST_SHORT = 1000
_FEW = 8
_READ_AGAIN = "run `sensor-storage verify --repair`, which reads them from Kafka again"

Progress = Callable[[int], None]
"""Called with the messages compared so far."""


class PartitionAgainst(msgspec.Struct, kw_only=True):
    """A partition's comparison, in messages.

    `compared` were read from the broker; of these `equal` are stored reading by reading as they are decoded today,
    or kept as dead letters, or have no value (`tombstones`); `differing` are stored with another content, as when
    settings of decoding have changed; `readable` are dead letters that would be readings today. The rest is
    `missing`. Offsets without a message: `aborted`, and `absent`, which were control records of transactions or, if
    the topic is `compacted`, have been taken by compaction. `beyond` are stored and no longer at the broker.
    `waiting` offsets are not consumed yet.
    """

    topic: str
    topic_id: str
    partition: int
    compacted: bool = False
    compared: int = 0
    equal: int = 0
    tombstones: int = 0
    differing: int = 0
    readable: int = 0
    missing: int = 0
    aborted: int = 0
    absent: int = 0
    beyond: int = 0
    waiting: int = 0


@dataclass(slots=True)
class Against:
    """The whole comparison."""

    partitions: list[PartitionAgainst] = field(default_factory=list)
    findings: list[Finding] = field(default_factory=list)


Place = tuple[str, str, int]


class AgainstKafka:
    """Compares a data directory with the broker."""

    def __init__(
        self,
        layout: Layout,
        log: LogReader,
        ids: Mapping[str, str],
        decode: Decode,
        progress: Progress,
        *,
        find: Callable[[Path], Path] | None = None,
    ) -> None:
        self._layout = layout
        self._log = log
        self._ids = ids
        self._decode = decode
        self._progress = progress
        self._find = find
        self._compared = 0

    def run(self, entries: Iterable[LedgerEntry]) -> Against:
        """Compare everything that the ledger answers for and the broker still has; entries are of now."""
        found = Against()
        by_place = entries_by_place(entries)
        reports = {
            place: PartitionAgainst(topic=place[0], topic_id=place[1], partition=place[2])
            for place in by_place
        }
        windows = []
        for place, mine in sorted(by_place.items()):
            windows.append(self._window(mine, reports[place]))
        for group in plan_passes(windows):
            self._pass(group, by_place, reports, found)
        found.partitions = [reports[place] for place in sorted(reports)]
        return found

    def _window(self, entries: list[LedgerEntry], report: PartitionAgainst) -> Window:
        """What of a partition is to be compared: from the first offset the ledger answers for to the last."""
        consumed = covered(entry for entry in entries if entry.fate == "consumed")
        first, end = (consumed[0][0], consumed[-1][1]) if consumed else (0, 0)
        if self._ids.get(report.topic) != report.topic_id or not consumed:
            return Window(report.topic, report.topic_id, report.partition, 0, 0)
        low, high = self._log.bounds((report.topic, report.partition))
        report.waiting = max(high - end, 0)
        report.compacted = self._log.compacted(report.topic)
        start, stop = max(first, low), min(end, high)
        return Window(report.topic, report.topic_id, report.partition, start, max(start, stop))

    def _pass(
        self,
        windows: list[Window],
        entries: Mapping[Place, list[LedgerEntry]],
        reports: Mapping[Place, PartitionAgainst],
        found: Against,
    ) -> None:
        holdings = Holdings(windows, dead_letter_offsets(self._layout)[0])
        stored_rows(self._layout, holdings.add, self._find)
        short: dict[Source, list[tuple[int, int]]] = {}
        for window in windows:
            report = reports[window.place]
            seen: list[NDArray[np.int64]] = []
            lost: dict[Source, list[NDArray[np.int64]]] = {}
            for part in compare(self._log, self._decode, holdings, window):
                seen.append(part.offsets)
                self._count(part, report)
                if part.lost.any():
                    lost.setdefault(part.source, []).append(part.offsets[part.lost])
                for row in np.flatnonzero(part.short).tolist():
                    short.setdefault(part.source, []).append((int(part.offsets[row]), int(part.made[row])))
                self._compared += len(part.offsets)
                self._progress(self._compared)
            self._without_message(window, holdings, _joined(seen), report, found)
            found.findings += list(_missing(lost, entries[window.place]))
        if short:
            self._name_short(short, found)

    def _count(self, part: Compared, report: PartitionAgainst) -> None:
        report.compared += len(part.offsets)
        report.tombstones += int(part.empty.sum())
        report.differing += int(part.differing.sum())
        report.readable += int(part.readable.sum())
        report.missing += int((part.lost | part.short).sum())
        report.equal = report.compared - report.differing - report.readable - report.missing

    def _without_message(
        self,
        window: Window,
        holdings: Holdings,
        seen: NDArray[np.int64],
        report: PartitionAgainst,
        found: Against,
    ) -> None:
        """The window's offsets at which a reader finds nothing: why, and what is stored of them."""
        holes = window.stop - window.start - len(seen)
        if not holes:
            return
        key = (window.topic, window.partition)
        parts = [
            np.array([message.offset() for message in messages], np.int64)
            for messages in self._log.messages(key, window.start, window.stop, with_aborted=True)
        ]
        aborted = np.setdiff1d(_joined(parts), seen)
        report.aborted += len(aborted)
        report.absent += holes - len(aborted)
        for source, offsets in holdings.held():
            if source[:3] != window.place:
                continue
            report.beyond += int((~np.isin(offsets, seen) & ~np.isin(offsets, aborted)).sum())
            wrong = offsets[np.isin(offsets, aborted)]
            if len(wrong):
                detail = "stored, though their transaction was aborted"
                found.findings.append(Finding("double", addresses(source, wrong), detail))

    def _name_short(self, short: Mapping[Source, list[tuple[int, int]]], found: Against) -> None:
        wanted = {
            source: np.array([offset for offset, _ in some[:_MOST_SHORT]], np.int64)
            for source, some in short.items()
        }
        elements = Elements(wanted)
        stored_rows(self._layout, elements.add, self._find)
        for source, some in short.items():
            for offset, made in some[:_MOST_SHORT]:
                lacking = sorted(set(range(made)) - elements.of(source, offset))
                if lacking:
                    named = ", ".join(map(str, lacking[:_FEW])) + (" …" if len(lacking) > _FEW else "")
                    detail = f"{len(lacking):,} of its {made:,} readings are not stored: elements {named}"
                    found.findings.append(
                        Finding("missing", span_name(source, offset, offset + 1), detail, _READ_AGAIN)
                    )


def entries_by_place(entries: Iterable[LedgerEntry]) -> dict[Place, list[LedgerEntry]]:
    """The entries of each partition, under every leader epoch."""
    found: dict[Place, list[LedgerEntry]] = {}
    for entry in entries:
        found.setdefault(entry.source[:3], []).append(entry)
    return found


def _missing(lost: Mapping[Source, list[NDArray[np.int64]]], entries: list[LedgerEntry]) -> Iterator[Finding]:
    spans = covered(entry for entry in entries if entry.fate == "consumed")
    starts, stops = np.array(spans, np.int64).reshape(-1, 2).T
    for source, parts in lost.items():
        offsets = _joined(parts)
        place = np.searchsorted(starts, offsets, side="right") - 1
        answered = (place >= 0) & (offsets < stops[place])
        for mine, detail in (
            (
                offsets[answered],
                "Kafka has these messages, the ledger answers for them, and nothing of them is stored",
            ),
            (
                offsets[~answered],
                "Kafka has these messages; they were never consumed, though later ones were",
            ),
        ):
            if len(mine):
                yield Finding("missing", addresses(source, mine), detail, _READ_AGAIN)


def _joined(parts: list[NDArray[np.int64]]) -> NDArray[np.int64]:
    return np.concatenate([np.empty(0, np.int64), *parts])
