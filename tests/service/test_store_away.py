"""A cold store that hangs at the start keeps nobody from answering, reading, or ending."""

import json
import os
import socket
from pathlib import Path
from urllib.request import urlopen

import pytest

from sensor_storage.demo.azurite import ACCOUNT, KEY, Azurite
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from support.azurite import container
from support.cold import blobs
from support.kafka_io import create_topic, produce
from support.prometheus import free_port
from support.service import running
from support.waiting import wait_until


@pytest.mark.slow
def test_a_store_that_hangs_at_the_start_keeps_nobody_from_answering_reading_or_ending(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    port = free_port()
    with socket.create_server(("127.0.0.1", 0)) as silent:  # takes connections, and says nothing
        endpoint = f"http://127.0.0.1:{silent.getsockname()[1]}/{ACCOUNT}"
        settings = {
            "SERVICE_PORT": str(port),
            "AZURE_STORAGE_CONNECTION_STRING": f"AccountName={ACCOUNT};AccountKey={KEY};BlobEndpoint={endpoint}",
            "AZURE_CREATE_CONTAINER": "true",
        }
        with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
            create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
            message = json.dumps({"asset_id": "p", "sensor": "t", "value": 1.5})
            produce(broker.bootstrap_servers, f"{topic_prefix}-a", [message] * 10)
            service.wait_for_messages(10, seconds=40)
            wait_until(lambda: _answers(port), "the API answers", seconds=15)
            assert service.stop() == 0, service.log()


@pytest.mark.slow
def test_a_store_that_is_away_at_the_start_is_told_and_waited_for_and_then_gets_its_container(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    port, azurite = free_port(), Azurite(tmp_path / "azurite", cache=cache_folder(os.environ))
    settings = {
        **azurite.settings,
        "AZURE_CONTAINER_NAME": "made-late",
        "AZURE_MAX_RETRIES": "0",
        "SERVICE_PORT": str(port),
        "UPLOAD_INTERVAL_SECONDS": "1",
    }
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        wait_until(lambda: "the cold store does not answer" in _health(port), "health tells of it")
        with azurite:
            wait_until(lambda: "the cold store" not in _health(port), "health tells that it is back")
            assert "services/" in "".join(blobs(container(azurite, "made-late", create=False)))
            assert service.stop() == 0, service.log()
        assert "worker_ended" not in service.events()


def _health(port: int) -> str:
    """What is amiss; all of it is while nobody answers."""
    try:
        with urlopen(f"http://127.0.0.1:{port}/health", timeout=5) as answer:
            return str(answer.read())
    except OSError:
        return "the cold store cannot be asked for"


def _answers(port: int) -> bool:
    try:
        with urlopen(f"http://127.0.0.1:{port}/health/live", timeout=5) as answer:
            return bool(answer.status == 200)
    except OSError:
        return False
