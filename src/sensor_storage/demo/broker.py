"""A real Apache Kafka, one node, on loopback, for the demo and the tests.

The directory is the broker: `broker.json` (cluster id and ports), `server.properties`, `broker.log`, and
`data/` with the messages. Started again on the same directory it is the same cluster with the same messages,
at the same address if that is free.
"""

import base64
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType
from typing import Self

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from sensor_storage.demo.java import find_java
from sensor_storage.demo.kafka_jars import cache_folder, kafka_jars
from sensor_storage.errors import Halt

LOOPBACK = "127.0.0.1"
JVM_FLAGS = (
    "-Xmx512m",
    "-XX:+UseSerialGC",
    "-XX:TieredStopAtLevel=1",
    "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn",
    "-Dorg.slf4j.simpleLogger.showDateTime=true",
    "-Dorg.slf4j.simpleLogger.dateTimeFormat=HH:mm:ss.SSS",
)
_LAST_LINES = 12
_LOOK_SECONDS = 0.05


class BrokerUnavailable(Halt):
    """The embedded broker could not be started."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What a broker's directory remembers from start to start."""

    cluster_id: str
    port: int
    controller_port: int


@dataclass
class EmbeddedBroker:
    """One Kafka broker that lives in `directory`, as a context manager or by `start` and `stop`.

    Without `port` it takes a free one and remembers it. `properties` are added to `server.properties`. The
    broker ends with this process, however this process ends.
    """

    directory: Path
    port: int | None = None
    properties: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    cache: Path = field(default_factory=lambda: cache_folder(os.environ))
    start_seconds: float = 60.0
    stop_seconds: float = 20.0
    _identity: Identity | None = field(default=None, init=False)
    _guard: "subprocess.Popen[bytes] | None" = field(default=None, init=False)

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def bootstrap_servers(self) -> str:
        """The address clients are given; known from the first start on, also while the broker is down."""
        if self._identity is None:
            raise BrokerUnavailable(
                f"give the address of the broker in {self.directory}: it was never started"
            )
        return f"{LOOPBACK}:{self._identity.port}"

    @property
    def running(self) -> bool:
        """Whether the broker's process lives."""
        return self._guard is not None and self._guard.poll() is None

    @property
    def log_file(self) -> Path:
        """What the broker said since its last start."""
        return self.directory / "broker.log"

    def start(self) -> None:
        """Start the broker and wait until it answers.

        Raises BrokerUnavailable with the broker's last words if it does not, JavaMissing, JarsUnavailable.
        """
        if self.running:
            return
        java = [str(find_java()), *JVM_FLAGS, "-cp", str(kafka_jars(self.cache) / "*")]
        self.directory.mkdir(parents=True, exist_ok=True)
        self._identity = self._settle_identity()
        settings = self.directory / "server.properties"
        settings.write_text(_server_properties(self.directory, self._identity, self.properties), "utf-8")
        with self._stopped_on_error():
            if not (self.directory / "data" / "meta.properties").exists():
                self._format([*java, "kafka.tools.StorageTool", "format"], settings)
            with self.log_file.open("wb") as log:
                self._guard = _start_guarded([*java, "kafka.Kafka", str(settings)], log.fileno())
            self._wait_until_it_answers()

    def stop(self) -> None:
        """End the broker cleanly; past `stop_seconds` it is killed. Stopping a stopped broker is nothing."""
        if self._guard is None:
            return
        self._guard.send_signal(signal.SIGTERM)
        try:
            self._guard.wait(self.stop_seconds)
        except subprocess.TimeoutExpired:
            pass
        finally:
            self.kill()

    def kill(self) -> None:
        """End the broker as `kill -9` does, and wait until its process is gone."""
        if self._guard is None:
            return
        if self._guard.stdin:
            self._guard.stdin.close()  # for the guard this is our death: it kills the broker
        self._guard.wait()
        self._guard = None

    # ── the small print ──────────────────────────────────────────────────────────────────────────────

    def _settle_identity(self) -> Identity:
        """The directory's identity; a port that is taken gives way unless it was asked for."""
        file = self.directory / "broker.json"
        known = Identity(**json.loads(file.read_text("utf-8"))) if file.exists() else None
        with ExitStack() as held:  # held together, so that two free ports are two
            port = self.port if self.port is not None else _free_port(known.port if known else None, held)
            controller_port = _free_port(known.controller_port if known else None, held)
        identity = Identity(known.cluster_id if known else _new_cluster_id(), port, controller_port)
        if identity != known:
            file.write_text(
                json.dumps({name: getattr(identity, name) for name in Identity.__slots__}), "utf-8"
            )
        return identity

    def _format(self, storage_tool: list[str], settings: Path) -> None:
        identity = self._known_identity()
        # "=" because one id in 64 starts with a dash
        command = [*storage_tool, f"--cluster-id={identity.cluster_id}", "--config", str(settings)]
        with self.log_file.open("wb") as log:
            code = subprocess.run(
                command, stdout=log, stderr=log, stdin=subprocess.DEVNULL, check=False
            ).returncode
        if code:
            raise self._unavailable(f"could not be formatted (exit code {code})")

    def _wait_until_it_answers(self) -> None:
        identity = self._known_identity()
        deadline = time.monotonic() + self.start_seconds
        while not _port_is_open(identity.port):
            self._look(deadline)
        # log_level 0: librdkafka must not print about a broker that is still starting
        admin = AdminClient({"bootstrap.servers": self.bootstrap_servers, "log_level": 0})
        while not (cluster_id := _answering_cluster(admin)):
            self._look(deadline)
        if cluster_id != identity.cluster_id:
            raise self._unavailable(f"found another Kafka at {self.bootstrap_servers}")

    def _look(self, deadline: float) -> None:
        if not self.running:
            code = self._guard.returncode if self._guard else None
            raise self._unavailable(f"ended while starting (exit code {code})")
        if time.monotonic() > deadline:
            raise self._unavailable(f"did not answer within {self.start_seconds:.0f} s")
        time.sleep(_LOOK_SECONDS)

    @contextmanager
    def _stopped_on_error(self) -> Iterator[None]:
        try:
            yield
        except BaseException:
            self.kill()
            raise

    def _known_identity(self) -> Identity:
        if self._identity is None:
            raise BrokerUnavailable(f"start the broker in {self.directory}: its identity is not settled")
        return self._identity

    def _unavailable(self, what: str) -> BrokerUnavailable:
        words = "".join(f"\n  {line}" for line in _last_words(self.log_file)) or " nothing"
        return BrokerUnavailable(
            f"start the embedded Kafka in {self.directory}: it {what}; its last words:{words}",
            hint=f"look for a taken port, a full disk, a second broker in {shlex.quote(str(self.log_file))}",
        )


def _last_words(log_file: Path) -> list[str]:
    """The log's last telling lines: no stack frames, none of Java's remarks about its own future."""
    if not log_file.exists():
        return []
    lines = log_file.read_text("utf-8", errors="replace").splitlines()
    return [line for line in lines if not line.startswith(("\t", "WARNING: "))][-_LAST_LINES:]


def _start_guarded(command: list[str], log: int) -> "subprocess.Popen[bytes]":
    """Start the command so that it ends with this process; see `guard`."""
    return subprocess.Popen(
        [sys.executable, "-P", "-m", "sensor_storage.demo.guard", *command],
        stdin=subprocess.PIPE,
        stdout=log,
        stderr=log,
        start_new_session=True,  # Ctrl-C is for the starter, which decides who ends first
    )


def _server_properties(directory: Path, identity: Identity, further: Mapping[str, str]) -> str:
    client = f"PLAINTEXT://{LOOPBACK}:{identity.port}"
    controller = f"{LOOPBACK}:{identity.controller_port}"
    settings = {
        "process.roles": "broker,controller",
        "node.id": "1",
        "controller.quorum.voters": f"1@{controller}",
        "listeners": f"{client},CONTROLLER://{controller}",
        "advertised.listeners": client,
        "controller.listener.names": "CONTROLLER",
        "inter.broker.listener.name": "PLAINTEXT",
        "log.dirs": str((directory / "data").absolute()),
        "offsets.topic.replication.factor": "1",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "group.initial.rebalance.delay.ms": "0",
        # After a kill the controller waits this long before it believes in the new process (else 9 s).
        "broker.session.timeout.ms": "3000",
        "broker.heartbeat.interval.ms": "500",
        "num.partitions": "4",
        **further,
    }
    # In a properties file a backslash starts an escape.
    return "".join(f"{name}={value}\n".replace("\\", "\\\\") for name, value in settings.items())


def _new_cluster_id() -> str:
    return base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=")


def _free_port(wish: int | None, held: ExitStack) -> int:
    """The port wished for if it is free, else any free one; held until the stack closes."""
    for port in (wish or 0, 0):
        taken = held.enter_context(socket.socket())
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            taken.bind((LOOPBACK, port))
        except OSError:
            continue
        return int(taken.getsockname()[1])
    raise BrokerUnavailable(f"find a free port on {LOOPBACK}: none", hint="end programs that hold many ports")


def _port_is_open(port: int) -> bool:
    with socket.socket() as probe:
        probe.settimeout(1.0)
        return probe.connect_ex((LOOPBACK, port)) == 0


def _answering_cluster(admin: AdminClient) -> str | None:
    try:
        metadata = admin.list_topics(timeout=1.0)
    except KafkaException:
        return None
    return metadata.cluster_id if metadata.brokers else None
