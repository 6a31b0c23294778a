"""The worker beside the cold store: uploads on its interval, cleans up on its own, and does both when asked.

After an upload it folds what has been over for long, as many days a round as leave time for the rest.

It may wait for the store as long as it takes; ingest, compaction and queries do not notice. It reports each second
as long as something gets on.
"""

import os
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass
from threading import Event
from typing import Any, Final

from msgspec.structs import replace

from sensor_storage.clock import Clock
from sensor_storage.cold.cleanup import Cleaner, CleanupReport
from sensor_storage.cold.folding import Day, Folding, FoldReport
from sensor_storage.cold.keepsakes import Keepsakes
from sensor_storage.cold.removal import Removal
from sensor_storage.cold.upload import Uploader, UploadReport
from sensor_storage.control import Control
from sensor_storage.errors import DiskFull, Halt, Owned, SensorStorageError
from sensor_storage.log import get
from sensor_storage.loop import process_use
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import ask, socket_path
from sensor_storage.storage.settled import Settled
from sensor_storage.storage.status import (
    ColdStatus,
    consumption_pauses,
    least_watermark,
    read_ingest,
    write_status,
)

_ROUND_SECONDS: Final = 1.0
_STATUS_SECONDS: Final = 1.0
_COUNT_SECONDS: Final = 10.0
"""In a round what waits is counted so often: with a million files in the queue that takes a while."""

_FIRST_ROUND_SECONDS: Final = 5.0
_PRESSURE_SECONDS: Final = 10.0
_AGAIN_SECONDS: Final = 30.0
_SECONDS_PER_HOUR: Final = 3600
_OWNER_SECONDS: Final = 60.0
_FLUSH_SECONDS: Final = 120.0
_log = get("cold")


@dataclass(frozen=True, slots=True)
class ColdPolicy:
    """How often to upload and clean up, for how long an hour is left open, and whether to clean up at all."""

    upload_interval_seconds: float
    cleanup_interval_seconds: float
    seal_grace_seconds: float
    cleanup: bool
    dry_run: bool
    high: float


class ColdLoop:
    """Uploads and cleans up until told to stop."""

    def __init__(
        self,
        *,
        layout: Layout,
        clock: Clock,
        catalog: Catalog,
        uploader: Uploader | None,
        keepsakes: Keepsakes | None,
        cleaner: Callable[[Callable[[Sequence[Removal]], dict[str, str]]], Cleaner],
        folding: Callable[[Callable[[Sequence[Day]], Sequence[str]]], Folding] | None,
        policy: ColdPolicy,
        settled: Settled,
        url: str,
        check_store: Callable[[], None] = lambda: None,
        used_share: Callable[[], float],
    ) -> None:
        self._layout = layout
        self._clock = clock
        self._catalog = catalog
        self._stop = Event()
        self._uploader = uploader
        self._keepsakes = keepsakes
        self._cleaner = cleaner(self._remove)
        self._folding = folding(self._fold) if folding else None
        self._policy = policy
        self._settled = settled
        self._mark = 0.0
        self._url = url
        self._check_store = check_store
        self._used_share = used_share
        self._started = clock.now()
        self._uploaded = UploadReport()
        self._last = UploadReport()
        self._failures = 0
        self._upload_seconds = 0.0
        self._cleanup_seconds = 0.0
        self._upload_at = clock.monotonic() + min(_FIRST_ROUND_SECONDS, policy.upload_interval_seconds)
        self._cleanup_at = clock.monotonic() + min(60.0, policy.cleanup_interval_seconds)
        self._pressure_at = 0.0
        self._fold_at = self._upload_at
        self._cleaned = CleanupReport()
        self._removed = 0
        self._removed_bytes = 0
        self._error = ""
        self._status: ColdStatus | None = None
        self._told_at = self._counted_at = float("-inf")
        for stage in (self._uploader, self._keepsakes, self._cleaner, self._folding):
            if stage:
                stage.alive = self._alive
        self._control = Control(
            socket_path(layout, "cold"), {"upload": self._asked_to_upload, "cleanup": self._asked_to_clean}
        )

    def run(self, stop: Event) -> None:
        """Work until told to stop; a file that is under way is finished."""
        self._stop = stop
        if self._uploader:
            self._uploader.stopped = stop.is_set
        self._control.start()
        try:
            while not stop.wait(_ROUND_SECONDS):
                self._settled_mark()
                self._due()
                self._control.serve()
                self._tell()
        except Halt as error:
            self._tell(halted=error.message)
            raise
        finally:
            self._control.stop()
            self._tell()

    def _due(self) -> None:
        now = self._clock.monotonic()
        if self._uploader and now >= self._upload_at:
            self._patiently(lambda: self._upload(everything=False))
            troubled = self._last.away or self._last.failed
            soon = _AGAIN_SECONDS if troubled else self._policy.upload_interval_seconds
            self._upload_at = self._clock.monotonic() + min(soon, self._policy.upload_interval_seconds)
        if self._folding and now >= self._fold_at:
            self._fold_at = now + self._policy.upload_interval_seconds
            self._patiently(self._fold_some)
        if not self._policy.cleanup:
            return
        if now >= self._cleanup_at:
            self._patiently(lambda: self._clean(dry_run=self._policy.dry_run))
            self._cleanup_at = self._clock.monotonic() + self._policy.cleanup_interval_seconds
        if now >= self._pressure_at:
            self._pressure_at = now + _PRESSURE_SECONDS
            if self._used_share() > self._policy.high and not self._policy.dry_run:
                self._patiently(lambda: self._clean(dry_run=False, pressed=True))

    def _patiently(self, act: Callable[[], object]) -> None:
        try:
            act()
            self._error = ""
        except Halt:
            raise
        except SensorStorageError as error:
            if self._error != error.message:
                _log.warning("cold_postponed", error=error.message, hint=error.hint)
            self._error = error.message

    def _upload(self, *, everything: bool) -> UploadReport:
        if self._uploader is None:
            raise SensorStorageError(
                "there is no cold store to upload to", hint="set COLD_STORE_URL or AZURE_STORAGE_ACCOUNT"
            )
        started = self._clock.monotonic()
        now = self._clock.now()
        report = self._uploader.run_once(now, None if everything else self._sealed_before(now))
        if not report.away:
            self._look(report)
        if self._keepsakes and not report.away:
            self._keepsakes.run_once(now, report)
        self._upload_seconds = self._clock.monotonic() - started
        self._failures += report.failed
        self._uploaded.add(report)
        self._last = report
        if report.uploaded or report.failed:
            _log.info("uploaded", files=report.uploaded, bytes=report.bytes, failed=report.failed)
        return report

    def _look(self, report: UploadReport) -> None:
        """With nothing to upload too, a folder that is not there is told."""
        try:
            self._check_store()
        except SensorStorageError as error:
            report.away = True
            report.errors[self._url] = error.message

    def _clean(self, *, dry_run: bool, pressed: bool = False) -> CleanupReport:
        started = self._clock.monotonic()
        report = self._cleaner.run_once(self._clock.now(), dry_run=dry_run, pressed=pressed)
        self._cleanup_seconds = self._clock.monotonic() - started
        self._cleaned = report
        if not dry_run:
            self._removed += report.removed
            self._removed_bytes += report.removed_bytes
        return report

    def _fold_some(self) -> None:
        report = self._folding.run_once(self._clock.now()) if self._folding else FoldReport()
        if report.folded:
            _log.info("folded", days=report.folded)
        if report.more:
            self._fold_at = self._clock.monotonic()

    def _sealed_before(self, now: float) -> int:
        """Hours below it are over, by what was consumed, for the grace time."""
        return int((min(now, self._settled_mark()) - self._policy.seal_grace_seconds) // _SECONDS_PER_HOUR)

    def _settled_mark(self) -> float:
        """The least Kafka time over the ingest workers, settled: to be asked each round.

        Where no worker reads, the last one known; where there is none, the clock.
        """
        now, ingest = self._clock.now(), read_ingest(self._layout)
        if not ingest or any(status.reads for status in ingest):
            known = least_watermark(status for status in ingest if status.watermark > 0)
            self._mark = now if known is None else min(now, known)
        return self._settled.take(self._mark, paused=consumption_pauses(ingest, now))

    def _remove(self, removals: Sequence[Removal]) -> dict[str, str]:
        """Let the owner of the tree do it; what it says of each file it kept."""
        kept: dict[str, str] = self._ask_owner("remove", "clean up", files=removals)["kept"]
        return kept

    def _fold(self, days: Sequence[Day]) -> Sequence[str]:
        """Let the owner of the tree do it; for each day why not, or nothing."""
        refused: list[str] = self._ask_owner("fold", "fold", days=days)["refused"]
        return refused

    def _ask_owner(self, verb: str, act: str, **arguments: object) -> dict[str, Any]:
        answer = ask(self._layout, "maintain", verb, timeout_seconds=_OWNER_SECONDS, **arguments)
        if "error" in answer:
            raise SensorStorageError(f"{act}: {answer['error']}", hint=str(answer.get("hint", "")))
        return answer

    def _asked_to_upload(self, _: Mapping[str, Any]) -> dict[str, Any]:
        """Everything that changed, open hours too; what failed before is tried at once."""
        self._complete()
        if self._uploader:
            self._uploader.try_all_now()
        return asdict(self._upload(everything=True))

    def _complete(self) -> None:
        """Have what was consumed put into files and aggregates. Without their worker, what is there goes up."""
        with suppress(Owned):
            ask(self._layout, "maintain", "flush", timeout_seconds=_FLUSH_SECONDS)
            while not self._stop.is_set():
                if not ask(self._layout, "maintain", "aggregate", timeout_seconds=_FLUSH_SECONDS).get("more"):
                    return
                self._alive()

    def _asked_to_clean(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """Where nothing may go, only tell."""
        keeps = self._policy.dry_run or not self._policy.cleanup
        return asdict(self._clean(dry_run=keeps or bool(request.get("dry_run"))))

    def _alive(self) -> None:
        """In the middle of a long round: it works."""
        now = self._clock.monotonic()
        if self._status is None or now - self._counted_at >= _COUNT_SECONDS:
            self._tell()
        elif now - self._told_at >= _STATUS_SECONDS:
            self._write(replace(self._status, time=self._clock.now(), **process_use()))

    def _tell(self, halted: str = "") -> None:
        self._counted_at = self._clock.monotonic()
        now = self._clock.now()
        waiting = self._catalog.receipts.waiting(self._sealed_before(now))
        status = ColdStatus(
            worker="cold",
            pid=os.getpid(),
            time=now,
            started=self._started,
            url=self._url,
            uploaded=self._uploaded.uploaded,
            unchanged=self._uploaded.unchanged,
            merged=self._uploaded.merged,
            uploaded_bytes=self._uploaded.bytes,
            failures=self._failures,
            last_upload_seconds=self._upload_seconds,
            waiting=waiting.files,
            waiting_sealed=waiting.sealed,
            failing=waiting.failed,
            errors=waiting.errors or tuple(self._last.errors.values())[:1],
            away=self._uploaded.away,
            removed=self._removed,
            removed_bytes=self._removed_bytes,
            last_cleanup_seconds=self._cleanup_seconds,
            kept=self._cleaned.kept,
            error=self._error,
            halted=halted,
            **process_use(),
        )
        self._write(status)

    def _write(self, status: ColdStatus) -> None:
        self._status, self._told_at = status, self._clock.monotonic()
        with suppress(DiskFull):
            write_status(self._layout, status)
