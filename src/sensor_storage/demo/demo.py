"""The demo: broker, plant and service on this machine, and a live line of what is received and stored."""

import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Event, Thread

from sensor_storage.api.judgement import judge, lamp
from sensor_storage.api.snapshot import take_snapshot
from sensor_storage.clock import Clock
from sensor_storage.demo.messages import SENSIBLE_FAULTS, MessageSource
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Pace, Publisher, simulate
from sensor_storage.stopping import LIFELINE
from sensor_storage.storage.layout import Layout

TOPIC_PREFIX = "sensor-data-"
_PARTITIONS = 4
_STOP_SECONDS = 30


class DemoPlant:
    """A simulated plant that publishes from a thread: first its recent past, then live."""

    def __init__(self, bootstrap_servers: str, clock: Clock, *, past_seconds: int, seed: int = 0) -> None:
        self._publisher = Publisher(bootstrap_servers)
        self._source = MessageSource(
            Plant(seed=seed), form="mixed", faults=SENSIBLE_FAULTS, topic_prefix=TOPIC_PREFIX
        )
        self._pace = Pace((int(clock.now()) - past_seconds) * SECOND, speed=None)
        self._clock = clock
        self._stop = Event()
        self._thread = Thread(target=self._run, name="plant", daemon=True)

    def start(self) -> None:
        """Create the topics and publish until `stop`."""
        self._publisher.ensure_topics(self._source.topics, _PARTITIONS)
        self._thread.start()

    def stop(self) -> int:
        """End; how many messages the broker acknowledged."""
        self._stop.set()
        self._thread.join(_STOP_SECONDS)
        return self._publisher.flush().messages_acknowledged

    @property
    def acknowledged(self) -> int:
        """Readings the broker has acknowledged."""
        return self._publisher.report().readings_acknowledged

    def _run(self) -> None:
        simulate(
            self._source,
            self._publisher,
            self._pace,
            self._clock,
            wait=self._stop.wait,
            stopped=self._stop.is_set,
        )


class DemoService:
    """The service as a child process, started again when somebody kills it, ended with this process."""

    def __init__(self, environment: Mapping[str, str], log_file: Path) -> None:
        self._environment = environment
        self._log_file = log_file
        self._lifeline, self._held = os.pipe()
        self._process: subprocess.Popen[bytes] | None = None
        self.starts = 0

    def keep_running(self) -> None:
        """Start it, if it is not running."""
        if self._process is not None and self._process.poll() is None:
            return
        self.starts += 1
        with self._log_file.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "sensor_storage", "run"],
                env={**os.environ, **self._environment, LIFELINE: str(self._lifeline)},
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                pass_fds=(self._lifeline,),
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The process to kill, for those who want to see what happens."""
        return self._process.pid if self._process else 0

    def stop(self) -> None:
        """End it as an orchestrator would."""
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(_STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
        os.close(self._held)
        os.close(self._lifeline)


class LiveLine:
    """The lamp, and what is amiss, else rate, files, what went to the cold store, bytes a reading: one line."""

    def __init__(self, layout: Layout, clock: Clock, acknowledged: Callable[[], int]) -> None:
        self._layout = layout
        self._clock = clock
        self._acknowledged = acknowledged
        self._before: tuple[float, int] | None = None

    @property
    def writer(self) -> int:
        """The process that consumes and writes, for those who want to kill it; 0 before there is one."""
        workers = take_snapshot(self._layout, self._clock.now()).ingest
        return workers[0].pid if workers else 0

    def text(self) -> str:
        """The line as of now."""
        snapshot = take_snapshot(self._layout, self._clock.now())
        maintain = snapshot.maintain
        if maintain is None:
            return f"starting · {self._acknowledged():,} readings published"
        rate = self._rate(maintain.time, maintain.received_readings)
        if reasons := judge(snapshot):
            return f"{lamp(snapshot)} · {reasons[0].worker}: {reasons[0].what}"
        text = f"{lamp(snapshot)} · {rate:,.0f} readings/s · {maintain.hour_files:,} files"
        if cold := snapshot.cold:
            text += (
                f" · since the start {cold.uploaded:,} uploaded, {cold.removed:,} proven and gone from here"
            )
        if maintain.waiting_readings or not maintain.stored_readings:
            return text
        return f"{text} · {maintain.hour_file_bytes / maintain.stored_readings:.1f} B a reading"

    def _rate(self, time: float, readings: int) -> float:
        if self._before is None or time <= self._before[0]:
            self._before = self._before or (time, readings)
            return 0.0
        rate = (readings - self._before[1]) / (time - self._before[0])
        if time - self._before[0] > _RATE_WINDOW_SECONDS:
            self._before = (time, readings)
        return rate


_RATE_WINDOW_SECONDS = 3.0
