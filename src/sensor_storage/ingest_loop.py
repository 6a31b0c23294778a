"""The ingest worker's loop: Kafka to segments, with a look at disk and staging every second."""

import os
from collections.abc import Callable, Mapping
from functools import partial
from threading import Event
from typing import Any, Final

from sensor_storage.clock import Clock
from sensor_storage.control import Control
from sensor_storage.errors import Halt, Transient
from sensor_storage.kafka.backpressure import Limits, pause_reason
from sensor_storage.kafka.ingest import Ingest
from sensor_storage.kafka.refusal import Reason
from sensor_storage.kafka.topics import TopicWatch
from sensor_storage.log import get
from sensor_storage.loop import process_use
from sensor_storage.storage.dead_letters import DeadLetterSizes
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ownership import socket_path
from sensor_storage.storage.status import IngestStatus, PartitionStatus, read_ingest, write_status

_STATUS_SECONDS: Final = 1.0
_LETTER_SECONDS: Final = 10.0
_IDLE_SECONDS: Final = 60.0
"""A worker the group gives no partition for so long has none to read, and no say in what time it is."""

_log = get("ingest")


class IngestLoop:
    """Ingest, with a look at disk and staging every second."""

    def __init__(
        self,
        *,
        worker: str,
        layout: Layout,
        disk: Disk,
        clock: Clock,
        limits: Limits,
        watch: TopicWatch,
        ingest: Callable[[], Ingest],
    ) -> None:
        self._worker = worker
        self._layout = layout
        self._disk = disk
        self._clock = clock
        self._limits = limits
        self._watch = watch
        self._make_ingest = ingest
        self._started = clock.now()
        self._status_at = 0.0
        self._letters = DeadLetterSizes(layout)
        self._letter_bytes, self._letters_at = 0, float("-inf")
        self._idle_from = 0.0
        self._control = Control(socket_path(layout, worker), {"cut": self._cut})
        self._ingest: Ingest | None = None

    def run(self, stop: Event) -> None:
        """Consume until told to stop; then make durable, commit and leave the group."""
        self._watch.start()
        self._control.start()
        self._disk.settle()  # what the ledger remembers must outlive a power cut before it is passed over
        self._ingest = self._make_ingest()
        self._ingest.watermark = self._last_watermark()
        self._idle_from = self._clock.monotonic()
        try:
            while not stop.is_set():
                self._step(self._ingest)
                self._control.serve()
        except Halt as error:
            self._tell(self._ingest, halted=error.message)
            raise
        finally:
            self._watch.stop()
            self._control.stop()
        self._ingest.finish(partial(self._tell, self._ingest, ended=True))

    def _step(self, ingest: Ingest) -> None:
        now = self._clock.monotonic()
        if now - self._status_at >= _STATUS_SECONDS:
            self._status_at = now
            self._look_for_partitions(ingest, now)
            ingest.pause(self._pause_reason(ingest))
            self._tell(ingest)
        if unread := self._watch.call():
            _log.warning("partitions_without_reader", count=len(unread), first="{}/{}".format(*unread[0]))
            ingest.consumer.join_anew()
        try:
            ingest.run_once(self._watch.found)
        except Transient as error:
            _log.warning("ingest_postponed", error=error.message, hint=error.hint)

    def _last_watermark(self) -> float:
        """What the worker's last life said: until it reads again, a restart has consumed no more than that."""
        told = (one.watermark for one in read_ingest(self._layout) if one.worker == self._worker)
        return next(told, 0.0)

    def _look_for_partitions(self, ingest: Ingest, now: float) -> None:
        if ingest.positions or self._watch.error:
            self._idle_from = now
        elif self._watch.found and now - self._idle_from >= _IDLE_SECONDS:
            ingest.watermark = 0.0

    def _cut(self, _: Mapping[str, Any]) -> dict[str, Any]:
        return {"durable": self._ingest is not None and self._ingest.cut()}

    def _pause_reason(self, ingest: Ingest) -> str:
        now = self._clock.monotonic()
        if now - self._letters_at >= _LETTER_SECONDS:
            self._letters_at, self._letter_bytes = now, self._letters.total()
        return ingest.awaited() or pause_reason(
            self._limits,
            paused=bool(ingest.paused),
            disk_used=self._disk.used_share(),
            staging_bytes=self._layout.staged_bytes(),
            dead_letter_bytes=self._letter_bytes,
            disk_full=ingest.disk_full and not ingest.cut(),
        )

    def _tell(self, ingest: Ingest, halted: str = "", *, ended: bool = False) -> None:
        counts = ingest.counts
        ends = ingest.consumer.ends()
        write_status(
            self._layout,
            IngestStatus(
                worker=self._worker,
                pid=os.getpid(),
                time=self._clock.now(),
                started=self._started,
                ready=self._watch.found is not None and not self._watch.error,
                messages=counts.messages,
                readings=counts.readings,
                # Every reason from the start on: a counter that begins with its first burst hides it from rates.
                dead_letters={reason: counts.dead_letters_by_reason.get(reason, 0) for reason in Reason},
                empty=counts.empty,
                skipped=counts.skipped,
                gaps=counts.gaps,
                segments=counts.segments,
                segment_bytes=counts.segment_bytes,
                waits=counts.waits.counts,
                waits_seconds=counts.waits.seconds,
                watermark=ingest.watermark,
                paused=ingest.paused,
                dead_letters_used=self._letter_bytes / max(self._limits.dead_letters_max_bytes, 1),
                kafka_error=self._watch.error,
                halted=halted,
                ended=ended,
                **process_use(),
                bootstrap_servers=self._watch.bootstrap_servers,
                topics=len(self._watch.found or ()),
                pattern=self._watch.pattern,
                other_topics=self._watch.others,
                unread_partitions=len(self._watch.unread),
                partitions=tuple(
                    PartitionStatus(topic, partition, position, ends.get((topic, partition), -1))
                    for (topic, partition), position in sorted(ingest.positions.positions().items())
                ),
            ),
        )
