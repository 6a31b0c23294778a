"""`check`: every fault it looks for is found, with a fix; and a good machine passes."""

import json
import re
import socket
from pathlib import Path

import pytest

from sensor_storage.checks.address import check_address
from sensor_storage.checks.cold import check_way
from sensor_storage.checks.disk import check_disk, judge_kind, judge_space
from sensor_storage.checks.finding import Finding
from sensor_storage.checks.kafka import check_kafka, judge_topics
from sensor_storage.checks.machine import judge_clock, judge_files, judge_memory
from sensor_storage.cli import run as run_cli
from sensor_storage.config import load
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.main import store_address
from sensor_storage.storage.file_system import kind_of
from sensor_storage.storage.layout import Layout
from support.kafka_io import create_topic

MOUNTS = r"""22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw
30 22 0:28 / /dev/shm rw - tmpfs tmpfs rw
40 22 0:40 / /mnt/plant\040data rw - nfs4 server:/x rw
41 40 8:2 / /mnt/plant\040data/local rw - xfs /dev/sdb rw
42 22 0:41 / /mnt rw - overlay overlay rw
"""
PATTERN = re.compile("^sensor-data-.*")


def states(findings: list[Finding]) -> dict[str, str]:
    return {finding.name: finding.state for finding in findings}


@pytest.mark.parametrize(
    ("path", "kind"),
    [
        ("/home/x", "ext4"),
        ("/dev/shm", "tmpfs"),
        ("/dev/shmx", "ext4"),
        ("/mnt/plant data/raw", "nfs4"),
        ("/mnt/plant data/local/raw", "xfs"),
        ("/mnt/else", "overlay"),
    ],
)
def test_the_file_system_is_that_of_the_longest_mount(path: str, kind: str) -> None:
    assert kind_of(Path(path), MOUNTS) == kind
    assert kind_of(Path(path), "") == ""


@pytest.mark.parametrize(
    ("finding", "state", "word"),
    [
        (judge_kind("ext4"), "good", ""),
        (judge_kind("nfs4"), "bad", "local disk"),
        (judge_kind("fuse.blobfuse2"), "bad", "local disk"),
        (judge_kind("virtiofs"), "bad", "own"),
        (judge_kind("tmpfs"), "bad", "disk"),
        (judge_kind("overlay"), "bad", "volume"),
        (judge_kind(""), "unknown", ""),
        (judge_space(0.5, 10**12, 0.95), "good", ""),
        (judge_space(0.96, 10**12, 0.95), "bad", "DISK_HIGH_WATERMARK"),
        (judge_space(0.1, 10**8, 0.95), "bad", "enlarge"),
        (judge_clock(0), "good", ""),
        (judge_clock(5), "unknown", "chrony"),
        (judge_clock(None), "unknown", ""),
        (judge_memory(2 * 10**9, 10**9), "good", ""),
        (judge_memory(10**9, 2 * 10**9), "bad", "MEMORY_LIMIT"),
        (judge_files(65_536), "good", ""),
        (judge_files(-1), "good", ""),
        (judge_files(256), "bad", "ulimit"),
        (judge_topics(["sensor-data-a", "__consumer_offsets"], PATTERN), "good", ""),
        (judge_topics(["other", "__consumer_offsets"], PATTERN), "bad", "KAFKA_TOPIC_PATTERN"),
    ],
)
def test_each_fault_is_told_with_its_fix_and_a_good_state_without(
    finding: Finding, state: str, word: str
) -> None:
    assert finding.state == state
    assert word in finding.fix
    assert (state == "bad") <= bool(finding.fix)


@pytest.mark.parametrize(
    ("error", "word"),
    [
        (socket.gaierror("no such name"), "private DNS zone"),
        (TimeoutError(), "firewall"),
        (ConnectionRefusedError(111, "Connection refused"), "broker runs"),
    ],
)
def test_an_address_that_fails_says_whether_name_firewall_or_broker(error: OSError, word: str) -> None:
    def fail(_host: str, _port: int) -> None:
        raise error

    found = check_address("Kafka address", "kafka.example", 9092, fail)
    assert found.state == "bad"
    assert word in found.fix


def test_a_directory_that_can_be_used_is_good_and_nothing_is_left_in_it(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "raw")
    found = states(list(check_disk(layout, high_watermark=0.9999)))
    assert (found["data directory"], found["names"]) == ("good", "good")
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_a_directory_that_is_not_there_yet_is_not_made(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "a" / "b" / "raw")
    assert states(list(check_disk(layout, high_watermark=0.9999)))["data directory"] == "good"
    assert list(tmp_path.iterdir()) == []


def test_siblings_on_a_file_are_told(tmp_path: Path) -> None:
    (tmp_path / "staging").write_text("a file")
    findings = list(check_disk(Layout(tmp_path / "raw"), high_watermark=0.9999))
    assert states(findings)["data directory"] == "bad"


def test_a_real_broker_passes_and_topics_that_do_not_match_are_named(
    broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
    client = {"bootstrap.servers": broker.bootstrap_servers}
    assert set(states(list(check_kafka(client, re.compile(topic_prefix)))).values()) == {"good"}
    *_, topics = check_kafka(client, re.compile("no-such-topic"))
    assert (topics.name, topics.state) == ("topics", "bad")


def test_the_verb_ends_with_1_when_something_is_amiss_and_speaks_json(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    with socket.create_server(("127.0.0.1", 0)) as taken:
        monkeypatch.setenv("SERVICE_PORT", str(taken.getsockname()[1]))
        monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", "127.0.0.1:1")
        arguments = ["check", "--json", "--data", str(tmp_path), "--only", "settings", "--only", "kafka"]
        assert run_cli(arguments) == 1
    *items, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [(one["name"], one["state"]) for one in items] == [("settings", "good"), ("Kafka address", "bad")]
    assert all(one["fix"] for one in items if one["state"] == "bad")
    assert (summary["good"], summary["bad"]) == (1, 1)


def test_a_service_that_does_not_answer_is_amiss_as_a_container_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("SERVICE_PORT", "1")
    assert run_cli(["check", "--only", "service", "-q"]) == 1
    assert "✗ service" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("addresses", "state", "says"),
    [
        (["10.1.0.4"], "good", "inside a private network"),
        (["20.60.1.2"], "unknown", "a public address"),
        (["10.1.0.4", "20.60.1.2"], "unknown", "a public address"),
    ],
)
def test_the_way_to_the_cold_store_tells_a_private_endpoint_from_a_public_one(
    addresses: list[str], state: str, says: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
        reached, network = check_way("127.0.0.1", port, find=lambda _: addresses)
    assert reached.state == "good"
    assert (network.state, says in network.what) == (state, True)
    (closed,) = check_way("127.0.0.1", port)
    assert (closed.state, closed.fix) == ("bad", "check the port, and that it is the store's")


@pytest.mark.parametrize(
    ("given", "address"),
    [
        ({"AZURE_STORAGE_ACCOUNT": "plant"}, ("plant.blob.core.windows.net", 443)),
        (
            {
                "AZURE_STORAGE_CONNECTION_STRING": "AccountName=p;AccountKey=eA==;BlobEndpoint=http://h:10000/p"
            },
            ("h", 10000),
        ),
        ({"COLD_STORE_URL": "file:///x"}, None),
        ({}, None),
    ],
)
def test_the_address_of_the_cold_store_is_the_accounts(
    given: dict[str, str], address: tuple[str, int] | None
) -> None:
    assert store_address(load(given)) == address
