"""Secrets planted in every setting that holds one, in a message and in requests appear nowhere."""

import json
import subprocess
import sys
from pathlib import Path
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sensor_storage.api.keys import line_of, new_key
from sensor_storage.config.entries import entries
from sensor_storage.demo.broker import EmbeddedBroker
from support.kafka_io import create_topic, produce
from support.prometheus import free_port
from support.service import running

CANARY = "kan4rien-vogel"


def _asked(port: int, path: str, key: str) -> str:
    request = Request(f"http://127.0.0.1:{port}{path}", headers={"authorization": f"Bearer {key}"})
    try:
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - our own address
            return str(answer.read() + str(answer.headers).encode())
    except HTTPError as error:
        with error:
            return str(error.read() + str(error.headers).encode())


@pytest.mark.slow
def test_no_secret_is_in_logs_answers_metrics_or_what_the_verbs_say(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    """The broker wants no login, so that a service which has been given secrets still works."""
    port, reader = free_port(), new_key()
    settings = {
        "SERVICE_PORT": str(port),
        "LOG_LEVEL": "DEBUG",
        "KAFKA_SECURITY_PROTOCOL": "PLAINTEXT",
        "API_KEYS": line_of("reader", "read", reader),
        "MESSAGE_FORMAT": "json",
    }
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        create_topic(broker.bootstrap_servers, f"{topic_prefix}-a")
        produce(broker.bootstrap_servers, f"{topic_prefix}-a", [f"{{broken {CANARY}"])
        service.wait_for_messages(1, seconds=40)
        told = [
            _asked(port, path, key)
            for path in (
                "/health",
                "/metrics",
                "/storage/stats",
                "/assets",
                f"/assets?cursor={CANARY}",
                "/nowhere",
            )
            for key in (reader, f"{CANARY}-key")
        ]
        assert any('"status":' in one for one in told)
        shown = [service.run(*words) for words in (["config", "show"], ["status"], ["check"], ["-h"])]
        assert service.stop() == 0
    everything = [*told, service.log(), *(one.stdout + one.stderr for one in shown)]
    for one in everything:
        assert f"{CANARY}-key" not in one
        assert reader not in one
        assert line_of("reader", "read", reader).split(":")[1] not in one


@pytest.mark.parametrize("name", sorted(name for name, entry in entries().items() if entry.secret))
@pytest.mark.parametrize(
    "verb", [["config", "show"], ["config", "check", "-v"], ["run"], ["check", "-v"], ["status"]]
)
def test_a_secret_in_a_setting_is_in_nothing_a_verb_says_even_when_it_is_wrong(
    tmp_path: Path, name: str, verb: list[str]
) -> None:
    environment = {
        "PATH": "/usr/bin:/bin",
        "LOCAL_STORAGE_PATH": str(tmp_path / "data" / "raw"),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SERVICE_PORT": "99999" if verb == ["run"] else "1",  # wrong, so that it ends at once
        name: CANARY,
    }
    done = subprocess.run(
        [sys.executable, "-m", "sensor_storage", *verb],
        env=environment,
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert CANARY not in done.stdout + done.stderr
    assert json.dumps(CANARY)[1:-1] not in done.stdout
