"""The consumer group is set back to the beginning: Kafka sends all again, and the cold store is left as it is."""

import json
import os
from collections.abc import Iterator
from pathlib import Path
from shutil import rmtree

import pytest

from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.storage.status import read_ingest
from support.azurite import container
from support.cloud import Line, line_to
from support.cold import blobs
from support.kafka_io import create_topic, forget_group, produce
from support.service import Service, running
from support.waiting import wait_until

MESSAGES = 600
CONTAINER = "read-again"


@pytest.fixture
def line(tmp_path: Path) -> Iterator[Line]:
    with Azurite(tmp_path / "azurite", cache=cache_folder(os.environ)) as azurite, line_to(azurite) as one:
        yield one


@pytest.mark.slow
@pytest.mark.parametrize("forgetful", [False, True], ids=["ledger kept", "ledger lost"])
def test_a_group_set_back_to_the_beginning_changes_no_blob_and_sends_none(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, line: Line, forgetful: bool
) -> None:
    topic = f"{topic_prefix}-a"
    create_topic(broker.bootstrap_servers, topic)
    produce(broker.bootstrap_servers, topic, list(_messages()))
    settings = {
        "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={line.endpoint}",
        "AZURE_CONTAINER_NAME": CONTAINER,
        "AZURE_CREATE_CONTAINER": "true",
        "UPLOAD_INTERVAL_SECONDS": "3600",
    }
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        service.wait_for_messages(MESSAGES)
        assert _uploaded(service)["waiting"] == 0
        assert service.stop() == 0
        store = container(line, CONTAINER, create=False)
        before = {name: blob.etag for name, blob in blobs(store).items()}
        assert sum(name.startswith(("raw/", "aggregated/")) for name in before) > 20
        forget_group(broker.bootstrap_servers, topic_prefix)
        if forgetful:
            rmtree(service.layout.ledger)
        asked = len(line.asked)
        service.start()
        wait_until(lambda: _read_again(service) >= MESSAGES, "everything is read again")
        assert _uploaded(service)["waiting"] == 0
        assert service.stop() == 0
    own = f"/{ACCOUNT}/{CONTAINER}/services/"
    written = [path for path in line.writes(asked) if forgetful is False or not path.startswith(own)]
    assert [path for path in written if not path.endswith("/safe-offsets.json")] == []
    after = {name: blob.etag for name, blob in blobs(store).items()}
    for name, etag in before.items():
        if not name.startswith("services/") or not (forgetful or name.endswith("safe-offsets.json")):
            assert after[name] == etag, name
    assert {name for name in after if not name.startswith("services/")} == {
        name for name in before if not name.startswith("services/")
    }


def _messages() -> Iterator[str]:
    for number in range(MESSAGES):
        time = f"2024-01-01T{number % 4:02}:{number // 4 % 60:02}:00.{number % 1000:03}Z"
        yield json.dumps(
            {"asset_id": "press-1", "sensor": f"s{number % 3}", "timestamp": time, "value": number}
        )


def _uploaded(service: Service) -> dict[str, int]:
    done = service.run("upload", "--json")
    assert done.returncode == 0, done.stderr
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def _read_again(service: Service) -> int:
    """How many messages this start has consumed."""
    return sum(one.skipped + one.messages for one in read_ingest(service.layout))
