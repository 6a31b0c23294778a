"""The embedded broker: what it promises to the demo and to every other test."""

import hashlib
import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from sensor_storage.demo import java, kafka_jars
from sensor_storage.demo.broker import BrokerUnavailable, EmbeddedBroker
from sensor_storage.demo.java import JavaMissing, find_java
from sensor_storage.demo.kafka_jars import Jar, JarsUnavailable
from support.kafka_io import consume, create_topic, produce
from support.waiting import wait_until

LOCKED = Jar("org.example", "sample", "1.0", hashlib.sha256(b"sample").hexdigest())
RUN_VERB = "from sensor_storage.verbs.broker import command; command()"


@pytest.fixture
def foreground(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    """`sensor-storage broker` as a process of its own, on `tmp_path`."""
    command = [sys.executable, "-P", "-c", RUN_VERB, "--directory", str(tmp_path)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        yield process
        process.kill()


def test_a_shared_broker_stores_and_gives_back(broker: EmbeddedBroker, topic_prefix: str) -> None:
    sent = produce(broker.bootstrap_servers, topic_prefix, ["one", "two"], partition=0)
    assert [message.offset() for message in sent] == [0, 1]
    assert consume(broker.bootstrap_servers, topic_prefix, 2) == [b"one", b"two"]


@pytest.mark.slow
def test_messages_and_address_survive_stop_and_kill(tmp_path: Path) -> None:
    broker = EmbeddedBroker(tmp_path)
    with broker:
        address = broker.bootstrap_servers
        create_topic(address, "kept")
        produce(address, "kept", ["before stop"])
    assert not broker.running
    with broker:
        assert broker.bootstrap_servers == address
        produce(address, "kept", ["before kill"])
        broker.kill()
        assert not broker.running
        broker.start()
        assert broker.bootstrap_servers == address
        assert consume(address, "kept", 2) == [b"before stop", b"before kill"]


def test_a_remembered_port_that_is_taken_gives_way(tmp_path: Path) -> None:
    with EmbeddedBroker(tmp_path) as broker:
        first = broker.bootstrap_servers
        create_topic(first, "kept")
    with (
        socket.create_server(("127.0.0.1", int(first.rsplit(":", 1)[1]))),
        EmbeddedBroker(tmp_path) as broker,
    ):
        assert broker.bootstrap_servers != first
        produce(broker.bootstrap_servers, "kept", ["at a new address"])


def test_a_cluster_id_that_looks_like_an_option_is_taken_as_it_is(tmp_path: Path) -> None:
    identity = {"cluster_id": "-ABCDEFGHIJKLMNOPQRSTg", "port": 0, "controller_port": 0}
    (tmp_path / "broker.json").write_text(json.dumps(identity), "utf-8")
    with EmbeddedBroker(tmp_path) as broker:
        assert broker.running


def test_it_ends_with_its_parent_after_kill_9(foreground: "subprocess.Popen[str]") -> None:
    descendants = _descendants_once_it_answers(foreground)
    os.kill(foreground.pid, signal.SIGKILL)
    wait_until(lambda: not any(map(_alive, descendants)), "guard and broker to end with their parent")


def test_it_ends_with_its_guard_after_kill_9(foreground: "subprocess.Popen[str]") -> None:
    guard, jvm = _descendants_once_it_answers(foreground)
    guard.kill()
    wait_until(lambda: not _alive(jvm), "the broker to end with its guard")
    assert foreground.wait(30) == 1


def test_the_verb_prints_the_address_and_ends_well_on_sigterm(foreground: "subprocess.Popen[str]") -> None:
    descendants = _descendants_once_it_answers(foreground)
    foreground.terminate()
    assert foreground.wait(30) == 0
    assert not any(map(_alive, descendants))


def test_a_failed_start_shows_the_last_words_and_leaves_nothing_running(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        broker = EmbeddedBroker(tmp_path, port=taken.getsockname()[1], start_seconds=30)
        with pytest.raises(BrokerUnavailable, match="Address already in use") as caught:
            broker.start()
    assert str(broker.log_file) in caught.value.hint
    assert not broker.running


def test_a_missing_java_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _name: None)
    with pytest.raises(JavaMissing, match="none installed") as caught:
        find_java(str(tmp_path))
    assert "pip install 'sensor-storage[embedded]'" in caught.value.hint


def test_a_java_too_old_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(java, "find_spec", lambda _name: None)
    old = tmp_path / "java"
    old.write_text("""#!/bin/sh\necho 'openjdk version "1.8.0_302"' >&2\n""")
    old.chmod(0o755)
    with pytest.raises(JavaMissing, match="is Java 8"):
        find_java(str(tmp_path))


def test_a_missing_resolver_is_named_with_the_command_that_brings_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kafka_jars, "find_spec", lambda _name: None)
    with pytest.raises(JarsUnavailable) as caught:
        kafka_jars.kafka_jars(tmp_path)
    assert "pip install 'sensor-storage[embedded]'" in caught.value.hint


def test_jars_that_do_not_arrive_leave_nothing_behind(tmp_path: Path) -> None:
    def unreachable(jar: Jar, _folder: Path) -> Path:
        raise ConnectionError(f"no route to {jar.group}")

    with pytest.raises(JarsUnavailable, match="did not arrive") as caught:
        kafka_jars.kafka_jars(tmp_path, unreachable)
    assert "--fetch-only" in caught.value.hint
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(("arriving", "kept"), [(b"sample", True), (b"swapped", False)])
def test_only_jars_with_the_locked_bytes_are_kept(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arriving: bytes, kept: bool
) -> None:
    def bring(jar: Jar, folder: Path) -> Path:
        folder.mkdir()
        (folder / jar.file_name).write_bytes(arriving)
        return folder / jar.file_name

    monkeypatch.setattr(kafka_jars, "locked_jars", lambda: [LOCKED])
    if kept:
        assert [file.name for file in kafka_jars.kafka_jars(tmp_path, bring).iterdir()] == [LOCKED.file_name]
    else:
        with pytest.raises(JarsUnavailable, match="has not the bytes of the lock"):
            kafka_jars.kafka_jars(tmp_path, bring)
        assert list(tmp_path.iterdir()) == []


def test_the_cache_folder_is_the_one_chosen_else_the_users() -> None:
    assert kafka_jars.cache_folder({"SENSOR_STORAGE_CACHE": "/chosen"}) == Path("/chosen")
    assert kafka_jars.cache_folder({"XDG_CACHE_HOME": "/xdg"}) == Path("/xdg/sensor-storage")
    assert kafka_jars.cache_folder({}) == Path.home() / ".cache" / "sensor-storage"


def _descendants_once_it_answers(foreground: "subprocess.Popen[str]") -> list[psutil.Process]:
    assert foreground.stdout is not None
    assert foreground.stdout.readline().startswith("127.0.0.1:")
    descendants = psutil.Process(foreground.pid).children(recursive=True)
    assert len(descendants) == 2, "the guard and the broker's Java"
    return descendants


def _alive(process: psutil.Process) -> bool:
    try:
        return process.is_running() and process.status() != psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return False
