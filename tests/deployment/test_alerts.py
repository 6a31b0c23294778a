"""Alerts in a real Prometheus, each by the fault it is for, done to the running service.

Four of them are fired in `test_monitoring.py`. Here and there no `for` is waited for, which promtool counts. What
only time can bring is put where it is looked for: a staged file is four hours old by its name, from which the
service has its age. A disk that fills up is a small one, mounted for that; without the right to mount, the two
alerts of the disk are left to promtool.
"""

import contextlib
import json
import os
import shutil
import signal
import subprocess
import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from threading import Event, Thread
from urllib.request import Request, urlopen

import psutil
import pytest
from confluent_kafka import Consumer, Message, Producer, TopicPartition
from confluent_kafka.admin import AdminClient

from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.kafka.consumer import ends_member
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.processes import read_processes
from sensor_storage.storage.status import read_cold, read_ingest, read_maintain
from support.kafka_io import create_topic
from support.prometheus import Prometheus, free_port, scraping
from support.service import Service, running
from support.waiting import wait_until

TOPIC = "sensor-data-a"
HOUR_SECONDS = 3600
BACKLOG = 300_000
FILES = 4
"""Of one sensor in one hour: its readings, minutes, hours, days."""
SURROUNDINGS = frozenset({"SensorStorageDown", "SensorStorageDiskAlmostFull", "SensorStorageDiskFillsUp"})
"""What a test's machine may cause: its disk is as full as it is."""


def _readings(numbers: Iterable[int], *, sensor: str = "s") -> list[str]:
    return [
        json.dumps({"asset_id": "a", "sensor_name": sensor, "timestamp": 1_704_067_200 + n, "value": n})
        for n in numbers
    ]


def _broken(count: int) -> list[bytes]:
    """Nine kilobytes each that no compression makes less."""
    return [b"{broken " + os.urandom(9_000) for _ in range(count)]


def _publish(servers: str, values: Iterable[str | bytes], *, age_seconds: float = HOUR_SECONDS) -> None:
    """Messages that Kafka says are so old."""
    producer = Producer({"bootstrap.servers": servers})
    for value in values:
        producer.produce(TOPIC, value, timestamp=int((time.time() - age_seconds) * 1000))
        producer.poll(0)
    assert producer.flush(30) == 0


class Scene:
    """A service that is watched, and what is done to it."""

    def __init__(
        self, service: Service, prometheus: Prometheus, port: int, *, not_meant: frozenset[str] = SURROUNDINGS
    ) -> None:
        self.service = service
        self.layout: Layout = service.layout
        self._prometheus = prometheus
        self._port = port
        self._not_meant = not_meant

    def fires(self, *alerts: str, seconds: float = 60) -> None:
        """Each of these begins to fire."""
        wait_until(
            lambda: set(alerts) <= self.firing(),
            f"{alerts} fire",
            seconds=seconds,
        )

    def firing(self) -> set[str]:
        """What fires that is not the machine's."""
        return self._prometheus.firing() - self._not_meant

    def ceases(self, *alerts: str) -> None:
        """None of these fires any more."""
        wait_until(lambda: not self.firing() & set(alerts), f"{alerts} cease", seconds=60)

    def post(self, path: str) -> None:
        """Ask the service to do something, and wait for it."""
        with urlopen(Request(f"http://127.0.0.1:{self._port}{path}", method="POST"), timeout=60) as answer:
            answer.read()

    def started(self) -> float:
        """When the supervisor started the maintain worker."""
        return next(one.started for one in read_processes(self.layout) if one.worker == "maintain")

    def scraped_start(self) -> float:
        """The same as Prometheus knows it."""
        (found,) = self._prometheus.series('sensor_storage_worker_start_time_seconds{worker="maintain"}')
        return float(found["value"][1])

    def pid(self, worker: str) -> int:
        """The process of a worker."""
        status = read_maintain(self.layout) if worker == "maintain" else read_ingest(self.layout)[0]
        assert status is not None
        return status.pid


@contextlib.contextmanager
def _one_hour_in_its_place(root: Path) -> Iterator[tuple[str, int, Service]]:
    """Broker, the service's port, and the service, which has nothing more to do with a hundred readings."""
    port = free_port()
    with EmbeddedBroker(root / "kafka") as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, TOPIC)
        _publish(servers, _readings(range(100)))
        settings = {"SERVICE_PORT": str(port)}
        with running(root / "data", servers, "sensor-data-", **settings) as service:
            service.wait_for_messages(100)
            wait_until(lambda: bool(service.layout.hour_files()), "the hour file is there")
            wait_until(lambda: not service.layout.staged_files(), "everything is in its place")
            yield servers, port, service


@contextlib.contextmanager
def _slowed(pid: int) -> Iterator[None]:
    """The process gets a tenth of its time, so that on any machine somebody sees what it is at."""
    over = Event()

    def slow() -> None:
        while not over.wait(0.02):
            with _held(pid):
                over.wait(0.2)

    thread = Thread(target=slow)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


@contextlib.contextmanager
def _held(pid: int) -> Iterator[None]:
    """The process stands still in the block."""
    os.kill(pid, signal.SIGSTOP)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGCONT)


@pytest.mark.slow
@pytest.mark.timeout(400)
def test_faults_of_kafka_files_and_workers_fire_their_alerts(tmp_path: Path) -> None:
    port, cold = free_port(), tmp_path / "cold"
    settings = {
        "SERVICE_PORT": str(port),
        "COLD_STORE_URL": f"file://{cold}",
        "UPLOAD_INTERVAL_SECONDS": "1",
        "CLEANUP_AGE_DAYS": "0",
        "CLEANUP_ENABLED": "false",  # only told, when asked
        "DEAD_LETTERS_MAX_BYTES": "1MB",
    }
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, TOPIC)
        _publish(servers, _readings(range(100)))
        with (
            running(tmp_path / "data", servers, "sensor-data-", **settings) as service,
            scraping(tmp_path / "prometheus", port) as prometheus,
        ):
            scene = Scene(service, prometheus, port)
            service.wait_for_messages(100)
            wait_until(
                lambda: _uploaded(scene.layout) >= FILES, "hour and aggregates are uploaded", seconds=60
            )
            wait_until(lambda: bool(prometheus.series("sensor_storage_topics")), "it is scraped")
            wait_until(lambda: scene.firing() == set(), "all is well", seconds=60)

            _blob_is_in_the_way(scene, servers, cold)
            _blob_is_removed(scene, cold)
            _outage_is_caught_up(scene, servers)
            _offsets_are_lost(scene, servers)
            _file_is_damaged(scene, servers)
            _dead_letters_fill_their_room(scene, servers)
            _worker_dies_again_and_again(scene)
            with _held(scene.pid("maintain")):
                _member_is_fenced(scene, servers)
                scene.fires("SensorStorageWorkerSilent", seconds=100)


def _uploaded(layout: Layout) -> int:
    status = read_cold(layout)
    return status.uploaded if status and not status.waiting else 0


def _blob_is_in_the_way(scene: Scene, servers: str, cold: Path) -> None:
    """What is no file of ours has the name of one that is to go up; the store is there."""
    blob = cold / "raw/a/2024/01/01/00/t.parquet"
    blob.write_bytes(b"of somebody else")
    _publish(servers, _readings([0], sensor="t"))
    scene.fires("SensorStorageUploadsFail")
    assert "SensorStorageStoreAway" not in scene.firing()
    blob.unlink()
    scene.post("/upload/trigger?wait=30")
    scene.ceases("SensorStorageUploadsFail")


def _blob_is_removed(scene: Scene, cold: Path) -> None:
    (blob,) = (cold / "raw").rglob("s.parquet")
    blob.unlink()
    scene.post("/cleanup/trigger?wait=30")
    scene.fires("SensorStorageBlobsDiffer", "SensorStorageCleanupBlocked")
    status = read_cold(scene.layout)
    assert status is not None
    assert status.last_cleanup_seconds > 0
    others = scene.firing() - {"SensorStorageBlobsDiffer", "SensorStorageCleanupBlocked"}
    assert others <= {"SensorStorageReadingsUnsafe"}  # for a moment, as it has no `for` here


def _outage_is_caught_up(scene: Scene, servers: str) -> None:
    """What Kafka kept for an hour comes at once."""
    reading = '{"asset_id":"a","sensor_name":"s","timestamp":%.4f,"value":1}'
    with _held(scene.pid("ingest-0")):
        _publish(servers, (reading % (1_704_067_200 + n / 1_000) for n in range(BACKLOG)))
    with _slowed(scene.pid("ingest-0")):
        scene.fires("SensorStorageLag")
    scene.ceases("SensorStorageLag")


def _offsets_are_lost(scene: Scene, servers: str) -> None:
    """Kafka's retention passes while the worker stands still."""
    with _held(scene.pid("ingest-0")):
        _publish(servers, _readings([100]))  # ends the request that it has open
        _publish(servers, _readings(range(101, 300)))
        admin = AdminClient({"bootstrap.servers": servers})  # kept, or its futures never end
        (deleted,) = admin.delete_records([TopicPartition(TOPIC, 0, BACKLOG + 250)]).values()
        deleted.result(30)
    scene.fires("SensorStorageOffsetsLost")
    assert "SensorStorageReadingsMissing" not in scene.firing()


def _file_is_damaged(scene: Scene, servers: str) -> None:
    """A bit flips in an hour file; a late reading wants into it."""
    wait_until(lambda: not scene.layout.staged_files(), "everything is in its place", seconds=60)
    _damage(scene.layout)
    _publish(servers, _readings([3000]))
    scene.fires("SensorStorageBlockedFiles", "SensorStorageReadingsUnsafe")


def _damage(layout: Layout) -> None:
    """A bit flips in the hour file of sensor `s`."""
    (path,) = [path for path in layout.hour_files() if path.stem == "s"]
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def _dead_letters_fill_their_room(scene: Scene, servers: str) -> None:
    """First an alarm, then consumption pauses."""
    _publish(servers, _broken(95))
    scene.fires("SensorStorageDeadLettersFull")
    assert "SensorStoragePaused" not in scene.firing()
    _publish(servers, _broken(20))
    scene.fires("SensorStoragePaused")


def _worker_dies_again_and_again(scene: Scene) -> None:
    for _ in range(3):
        pid = scene.pid("maintain")
        psutil.Process(pid).kill()
        wait_until(partial(_is_another, scene, pid), "it is started again and scraped", seconds=60)
    scene.fires("SensorStorageWorkerRestarts")


def _is_another(scene: Scene, pid: int) -> bool:
    return scene.pid("maintain") != pid and scene.scraped_start() == scene.started()


def _member_is_fenced(scene: Scene, servers: str) -> None:
    """Another process has the name of the service's group member: each takes it from the other, over and over."""
    name = (scene.layout.root / "instance-id").read_text().strip()
    deadline = time.monotonic() + 60
    while "SensorStorageHalted" not in scene.firing():
        rival = Consumer(
            {
                "bootstrap.servers": servers,
                "group.id": "sensor-data-",
                "group.instance.id": f"{name}-ingest-0",
                "partition.assignment.strategy": "cooperative-sticky",
            }
        )
        rival.subscribe([TOPIC])
        with contextlib.closing(rival):
            while not _is_fenced(rival.poll(0.5)) and "SensorStorageHalted" not in scene.firing():
                assert time.monotonic() < deadline, scene.service.log()


def _is_fenced(message: Message | None) -> bool:
    error = None if message is None else message.error()
    return error is not None and ends_member(error)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_lost_file_and_topics_that_are_gone_fire_their_alerts(tmp_path: Path) -> None:
    with _one_hour_in_its_place(tmp_path) as (servers, port, service):
        assert service.stop() == 0
        service.layout.hour_files()[0].unlink()
        (service.layout.root / "catalog.db").unlink()
        service.start()
        with scraping(tmp_path / "prometheus", port) as prometheus:
            scene = Scene(service, prometheus, port)
            scene.fires("SensorStorageReadingsMissing")
            assert scene.firing() == {"SensorStorageReadingsMissing"}
            admin = AdminClient({"bootstrap.servers": servers})
            (deleted,) = admin.delete_topics([TOPIC]).values()
            deleted.result(30)
            scene.fires("SensorStorageNoTopics", seconds=90)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_what_waits_for_hours_behind_a_damaged_file_fires_its_alerts(tmp_path: Path) -> None:
    with _one_hour_in_its_place(tmp_path) as (servers, port, service):
        _damage(service.layout)
        _publish(servers, _readings([3000]))
        wait_until(lambda: _is_blocked(service.layout), "a late reading waits")
        assert service.run("rebuild", "aggregates").returncode == 1
        assert service.stop() == 0
        for name, path in service.layout.staged_files():
            path.rename(service.layout.staged(replace(name, created=name.created - 4 * HOUR_SECONDS * 1000)))
        service.start()
        with scraping(tmp_path / "prometheus", port) as prometheus:
            scene = Scene(service, prometheus, port)
            waiting = {"SensorStorageCompactionBehind", "SensorStorageAggregatesBehind"}
            scene.fires(*waiting, "SensorStorageBlockedFiles")
            assert scene.firing() == {*waiting, "SensorStorageBlockedFiles"}


def _is_blocked(layout: Layout) -> bool:
    status = read_maintain(layout)
    return status is not None and bool(status.blocked)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 128 MB of its own; a skip that says why where this process may not mount one."""
    folder = tmp_path / "disk"
    folder.mkdir()
    words = ["mount", "-t", "tmpfs", "-o", "size=128m", "tmpfs", str(folder)]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"no small disk: {done.stderr.strip()}")
    yield folder
    words = ["umount", str(folder)]
    subprocess.run(words, check=True)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_a_disk_that_fills_up_fires_its_alerts_before_consumption_pauses(
    tmp_path: Path, small_disk: Path
) -> None:
    port = free_port()
    with EmbeddedBroker(tmp_path / "kafka") as broker:
        servers = broker.bootstrap_servers
        create_topic(servers, TOPIC)
        _publish(servers, _readings(range(100)))
        with (
            running(small_disk / "data", servers, "sensor-data-", SERVICE_PORT=str(port)) as service,
            scraping(tmp_path / "prometheus", port) as prometheus,
        ):
            scene = Scene(service, prometheus, port, not_meant=frozenset({"SensorStorageDown"}))
            service.wait_for_messages(100)
            wait_until(lambda: bool(prometheus.series("sensor_storage:disk_used:ratio")), "it is scraped")
            assert scene.firing() == set()
            _fill(small_disk, 0.6)
            scene.fires("SensorStorageDiskFillsUp")
            assert scene.firing() == {"SensorStorageDiskFillsUp"}
            _fill(small_disk, 0.92)
            scene.fires("SensorStorageDiskAlmostFull")
            assert "SensorStoragePaused" not in scene.firing()
            _fill(small_disk, 0.97)
            scene.fires("SensorStoragePaused")
            for path in small_disk.glob("of-others-*"):
                path.unlink()
            scene.ceases("SensorStorageDiskAlmostFull", "SensorStoragePaused")


def _fill(disk: Path, share: float) -> None:
    """Somebody else takes room, until so much of the disk is used."""
    use = shutil.disk_usage(disk)
    (disk / f"of-others-{share}").write_bytes(bytes(round(use.total * share) - (use.total - use.free)))
