"""The maintain worker's loop: compaction, aggregates, and whatever the owner of the tree is asked to do."""

import os
from collections.abc import Callable, Mapping
from dataclasses import asdict
from threading import Event
from typing import Any, Final

from sensor_storage.aggregation.stage import AggregateReport, Aggregator
from sensor_storage.clock import Clock
from sensor_storage.cold.folding import Folder
from sensor_storage.cold.removal import Remover
from sensor_storage.control import Control
from sensor_storage.errors import DiskFull, Halt, Owned
from sensor_storage.kafka.replay import Replay
from sensor_storage.log import get
from sensor_storage.loop import process_use
from sensor_storage.model import SensorHour, Series
from sensor_storage.storage.accounts import Accounts
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.compact import Compactor, CompactReport
from sensor_storage.storage.dead_letter_words import chosen_by
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import alone, ask, socket_path
from sensor_storage.storage.set_aside import SetAside
from sensor_storage.storage.settled import Settled
from sensor_storage.storage.status import (
    MaintainStatus,
    consumption_pauses,
    is_fresh,
    least_watermark,
    read_ingest,
    write_status,
)

_STATUS_SECONDS: Final = 1.0
_ROUND_SECONDS: Final = 1.0
_LONG_ROUND_SECONDS: Final = 2.0
"""A stage's round takes about so long at most, and the next goes on: nobody who asks or looks on waits longer."""

_LISTEN_SECONDS: Final = 0.05
_log = get("maintain")


class MaintainLoop:
    """Compaction about every second, aggregates as long as some are due, and the account of what is stored."""

    def __init__(
        self,
        *,
        layout: Layout,
        clock: Clock,
        catalog: Catalog,
        compactor: Compactor,
        accounts: Accounts,
        aggregator: Aggregator,
        remover: Remover,
        folder: Folder,
        settled: Settled,
        set_aside: SetAside,
        replay: Callable[[Callable[[str], object]], Replay],
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._catalog = catalog
        self._compactor = compactor
        self._accounts = accounts
        self._aggregator = aggregator
        self._remover = remover
        self._folder = folder
        self._settled = settled
        self._aside = set_aside
        self._new_replay = replay
        compactor.alive = aggregator.alive = self._alive
        compactor.go_on = aggregator.go_on = self._has_time
        self._until = float("-inf")
        self._told_at = float("-inf")
        self._aggregated = AggregateReport()
        self._aggregate_seconds = 0.0
        self._started = clock.now()
        self._watermark = 0.0
        self._disk_full = False
        self._rounds = 0
        self._sums = CompactReport()
        self._round_seconds = 0.0
        self._control = Control(
            socket_path(layout, "maintain"),
            {
                "flush": self._flush,
                "aggregate": self._aggregate,
                "remove": self._remove,
                "fold": self._fold,
                "set_aside": self._set_aside,
                "forget": self._forget,
                "replay": self._replay,
            },
        )

    def run(self, stop: Event) -> None:
        """Compact and aggregate until told to stop."""
        self._control.start()
        compact_at = 0.0
        try:
            while not self._is_over(stop):
                if self._compactor.more or self._clock.monotonic() >= compact_at:
                    self._patiently(self._compact)
                    compact_at = self._clock.monotonic() + _ROUND_SECONDS / 2
                self._patiently(self._aggregate_round)
                self._tell()
                self._control.serve()
        except Halt as error:
            self._tell(halted=error.message)
            raise
        finally:
            self._control.stop()
        self._tell(ended=True)

    def _is_over(self, stop: Event) -> bool:
        """Wait for the next round, unless there is something to do now; is the end told?"""
        until = self._clock.monotonic() + _ROUND_SECONDS
        while not (self._is_busy or self._control.asked or self._clock.monotonic() >= until):
            if stop.wait(_LISTEN_SECONDS):
                return True
        return stop.is_set()

    @property
    def _is_busy(self) -> bool:
        return not self._disk_full and (self._aggregated.more or self._compactor.more)

    def _has_time(self) -> bool:
        return self._clock.monotonic() < self._until

    def _flush(self, _: Mapping[str, Any]) -> dict[str, Any]:
        for status in read_ingest(self._layout):
            if is_fresh(status, self._clock.now()):
                try:
                    ask(self._layout, status.worker, "cut", timeout_seconds=30)
                except Owned as error:
                    _log.warning("flush_without_ingest", worker=status.worker, error=error.message)
        report = self._round(flush=True)
        self._tell()
        return {**asdict(report), "blocked": {str(path): why for path, why in report.blocked.items()}}

    def _aggregate(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """One round over everything that is due, open hours included; with `again` everything is due."""
        if request.get("again"):
            self._aggregator.make_all_again()
        report = self._aggregate_round(flush=True)
        return {**asdict(report), "blocked": {str(path): why for path, why in report.blocked.items()}}

    def _remove(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Remove files that are proven to be in the cold store, as far as they are still what was proven."""
        return {"kept": self._remover.from_request(request["files"])}

    def _fold(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Let days whose manifests are in the cold store leave the catalog's tables."""
        return {"refused": self._folder.from_request(request["days"])}

    def _set_aside(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Move damaged files out of the way; what they kept from being merged or made is tried again at once."""
        moved = self._aside.from_request(request["files"])
        self._aggregator.try_all_now()
        return {"moved": moved}

    def _forget(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Name hours no more that were in the cold store alone and are lost there; staged rows take their place."""
        hours = [SensorHour(Series(asset, sensor), hour) for asset, sensor, hour in request["hours"]]
        self._aside.forget(hours)
        return {"forgot": len(hours)}

    def _replay(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Decode the dead letters of a reason and topic again; with `dry_run` only tell what it would do."""
        damaged: list[str] = []
        chosen = chosen_by(request.get("reason"), request.get("topic"))
        with alone(self._layout, "replay"):
            done = self._new_replay(damaged.append).run(chosen, dry_run=bool(request.get("dry_run")))
        return {**asdict(done), "damaged": len(damaged)}

    def _patiently(self, act: Callable[[], object]) -> None:
        try:
            act()
        except DiskFull as error:
            if not self._disk_full:
                _log.warning("disk_full", error=error.message, hint=error.hint)
            self._disk_full = True
        else:
            self._disk_full = False

    def _compact(self) -> None:
        self._round(flush=False)

    def _aggregate_round(self, *, flush: bool = False) -> AggregateReport:
        started = self._clock.monotonic()
        self._until = started + _LONG_ROUND_SECONDS
        report = self._aggregator.run_once(self._clock.now(), self._least_watermark(), flush=flush)
        self._aggregate_seconds = self._clock.monotonic() - started
        self._aggregated.add(report)
        if report.did_something:
            _log.debug("aggregated", hours=report.hours, days=report.days, readings=report.readings)
        return report

    def _round(self, *, flush: bool) -> CompactReport:
        started = self._clock.monotonic()
        self._until = started + _LONG_ROUND_SECONDS
        report = self._compactor.run_once(self._clock.now(), self._least_watermark(), flush=flush)
        self._round_seconds = self._clock.monotonic() - started
        self._rounds += 1
        self._sums.add(report)
        if report.did_something:
            _log.debug("compacted", hour_files=report.hour_files, rows=report.rows, runs=report.runs)
        return report

    def _least_watermark(self) -> float:
        """The least Kafka time over the ingest workers, settled; the last one known while none reads."""
        ingest = read_ingest(self._layout)
        known = least_watermark(ingest)
        if known is not None:
            self._watermark = self._settled.take(known, paused=consumption_pauses(ingest, self._clock.now()))
        return self._watermark

    def _alive(self) -> None:
        """In the middle of a long round: it works, and this is how far it is."""
        if self._clock.monotonic() - self._told_at >= _STATUS_SECONDS:
            self._tell()

    def _tell(self, halted: str = "", *, ended: bool = False) -> None:
        self._told_at = self._clock.monotonic()
        account = self._accounts.take(self._compactor.staging.live, self._catalog)
        write_status(
            self._layout,
            MaintainStatus(
                worker="maintain",
                pid=os.getpid(),
                time=self._clock.now(),
                started=self._started,
                rounds=self._rounds,
                hour_files_written=self._sums.hour_files,
                runs_written=self._sums.runs,
                written_bytes=self._sums.written_bytes,
                last_round_seconds=self._round_seconds,
                blocked={
                    self._layout.relative(path): why
                    for path, why in {**self._aggregated.blocked, **self._sums.blocked}.items()
                },
                oldest_waiting_hour=self._compactor.staging.oldest_hour(),
                due_aggregates=self._aggregator.due_hours(self._watermark),
                mended_aggregates=self._aggregated.mended,
                aggregate_files_written=self._aggregated.files,
                aggregate_written_bytes=self._aggregated.written_bytes,
                aggregated_readings=self._aggregated.readings,
                last_aggregate_seconds=self._aggregate_seconds,
                halted=halted,
                ended=ended,
                **process_use(),
                **asdict(account),
            ),
        )
