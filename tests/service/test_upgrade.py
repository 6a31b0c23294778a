"""Two builds side by side: upgrade, downgrade, one group with both, and what an older one must not touch."""

import json
import shutil
from pathlib import Path

import pytest

import sensor_storage
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.storage.footers import WRITER_VERSION
from sensor_storage.storage.status import read_maintain
from support.kafka_io import create_topic, produce
from support.service import Service, running
from support.waiting import wait_until

COUNT = 400


def build(folder: Path, *, needs: int) -> dict[str, str]:
    """The settings that run the next version: it knows one writer version more, and its files need `needs`."""
    package = folder / "sensor_storage"
    shutil.copytree(
        Path(sensor_storage.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__")
    )
    footers = package / "storage" / "footers.py"
    text = footers.read_text()
    for name, number in (("WRITER_VERSION", WRITER_VERSION + 1), ("OLDEST_WRITER", needs)):
        changed = [
            f"{name}: Final = {number}" if line.startswith(f"{name}: Final = ") else line
            for line in text.splitlines()
        ]
        assert changed != text.splitlines() or name == "OLDEST_WRITER"
        text = "\n".join(changed) + "\n"
    footers.write_text(text)
    return {"PYTHONPATH": str(folder)}


def publish(broker: EmbeddedBroker, topic: str, part: int) -> None:
    """Some more readings, over both partitions, of the same sensor-hour."""
    for partition in (0, 1):
        messages = [
            json.dumps(
                {"asset_id": "p", "sensor": f"s{partition}", "timestamp": 1_704_067_200 + n, "value": n}
            )
            for n in range(part * COUNT, (part + 1) * COUNT)
        ]
        produce(broker.bootstrap_servers, topic, messages, partition=partition)


def proven(service: Service) -> int:
    """How many readings are stored, every one of them once."""
    service.run("compact")
    proof = service.run("verify", "--full", "--json")
    assert proof.returncode == 0, proof.stdout
    found: int = json.loads(proof.stdout.splitlines()[-1])["readings"]
    return found


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_upgrade_and_downgrade_are_ordinary_starts(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, newer = f"{topic_prefix}-a", build(tmp_path / "next", needs=1)
    create_topic(broker.bootstrap_servers, topic, partitions=2)
    for part, settings in enumerate(({}, newer, {})):
        publish(broker, topic, part)
        with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
            service.wait_for_messages(2 * COUNT * (part + 1), seconds=60)
            assert service.run("compact").returncode == 0
            assert service.stop() == 0
            assert proven(service) == 2 * COUNT * (part + 1)


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_both_share_one_group_and_together_store_every_reading_once(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, newer = f"{topic_prefix}-a", build(tmp_path / "next", needs=1)
    create_topic(broker.bootstrap_servers, topic, partitions=2)
    publish(broker, topic, 0)
    with (
        running(tmp_path / "old", broker.bootstrap_servers, topic_prefix) as old,
        running(tmp_path / "new", broker.bootstrap_servers, topic_prefix, **newer) as new,
    ):
        publish(broker, topic, 1)
        wait_until(lambda: _received(old) + _received(new) >= 4 * COUNT, "all are received", seconds=60)
        assert old.stop() == 0  # the new one takes over what it read
        publish(broker, topic, 2)
        wait_until(lambda: _received(old) + _received(new) >= 6 * COUNT, "the rest too", seconds=60)
        assert new.stop() == 0
        assert proven(old) + proven(new) == 6 * COUNT


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_an_older_build_refuses_what_only_a_newer_may_merge_and_changes_nothing(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    topic, newer = f"{topic_prefix}-a", build(tmp_path / "next", needs=WRITER_VERSION + 1)
    create_topic(broker.bootstrap_servers, topic, partitions=2)
    publish(broker, topic, 0)
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **newer) as service:
        service.wait_for_messages(2 * COUNT, seconds=60)
        assert service.run("compact").returncode == 0
        assert service.stop() == 0
    before = _files(service)
    older = Service(tmp_path / "data", broker.bootstrap_servers, topic_prefix)
    refused = older.run("verify")
    assert refused.returncode == 1
    assert f"needs a program of writer version {WRITER_VERSION + 1}" in refused.stderr
    assert _files(older) == before
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **newer) as again:
        publish(broker, topic, 1)
        again.wait_for_messages(4 * COUNT, seconds=60)
        assert again.stop() == 0
        assert proven(again) == 4 * COUNT


def _received(service: Service) -> int:
    """As it last said, a stopped one too."""
    status = read_maintain(service.layout)
    return status.received_readings if status else 0


def _files(service: Service) -> dict[str, bytes]:
    root = service.layout.root
    return {
        str(path.relative_to(root)): path.read_bytes()
        for part in ("raw", "staging", "ledger")
        for path in (root / part).rglob("*.parquet")
    }
