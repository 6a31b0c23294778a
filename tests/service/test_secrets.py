"""Secrets planted in every setting, in messages and in requests appear nowhere."""

import re
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import pytest

from sensor_storage.api.keys import line_of, new_key
from sensor_storage.config.entries import entries
from sensor_storage.storage.status import read_cold, read_ingest
from support.kafka_io import create_topic, produce
from support.prometheus import free_port
from support.registry import fake_registry
from support.secure_kafka import PASSWORD, USER, SecureKafka, secure_kafka
from support.service import running
from support.waiting import wait_until

CANARY = "kan4rien-vogel"
ADDRESS = f"https://{CANARY}-name:{CANARY}-word@plant.example/x?sv=1&sig={CANARY}-sig&token={CANARY}-token"
VERBS = [["config", "show"], ["config", "check", "-v"], ["run"], ["check", "-v"], ["status"], ["ls", "-v"]]
OLD = '{"asset_id":"a","sensor_name":"s","timestamp":"2026-01-01T00:00:00Z","value":1}'


def _said(folder: Path, verb: list[str], settings: dict[str, str]) -> str:
    """All that a verb says with these settings; nothing of them works, so that it ends at once."""
    environment = {
        "PATH": "/usr/bin:/bin",
        "LOCAL_STORAGE_PATH": str(folder / "data" / "raw"),
        "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
        "SERVICE_PORT": "99999" if verb == ["run"] else "1",
        **settings,
    }
    done = subprocess.run(
        [sys.executable, "-m", "sensor_storage", *verb],
        env=environment,
        cwd=folder,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert done.stdout + done.stderr
    return done.stdout + done.stderr


# ── settings ──


@pytest.mark.parametrize("name", sorted(name for name, entry in entries().items() if entry.secret))
@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_a_secret_in_a_setting_is_in_nothing_a_verb_says_even_when_it_is_wrong(
    tmp_path: Path, name: str, verb: list[str]
) -> None:
    assert CANARY not in _said(tmp_path, verb, {name: CANARY})


@pytest.mark.parametrize("verb", VERBS, ids=" ".join)
def test_an_address_with_a_login_is_told_without_it_whichever_setting_it_was_put_into(
    tmp_path: Path, verb: list[str]
) -> None:
    wrong = _said(tmp_path, ["config", "check"], dict.fromkeys(entries(), ADDRESS))
    told = set(re.findall(r"^ +([A-Z_]+) must be", wrong, re.MULTILINE))
    assert {"SERVICE_PORT", "SCHEMA_REGISTRY_URL", "COLD_STORE_URL", "KAFKA_BOOTSTRAP_SERVERS"} <= told
    taken = dict.fromkeys(entries().keys() - told, ADDRESS)
    assert {"KAFKA_CONSUMER_GROUP", "KAFKA_SASL_PASSWORD"} <= taken.keys()
    for settings in (dict.fromkeys(entries(), ADDRESS), taken):
        assert CANARY not in _said(tmp_path, verb, settings)


@pytest.mark.parametrize(
    "line",
    [
        f"sasl.password={CANARY}",
        f"ssl.key.pem={CANARY}",
        f"sasl.oauthbearer.client.secret={CANARY}",
        f"{CANARY}",
        f"={CANARY}",
        f"group.id={CANARY}",
        f"fetch.wait.max.ms={CANARY}",
        f"sasl.password {CANARY}",
    ],
)
@pytest.mark.parametrize("verb", [["config", "show"], ["check", "-v"], ["run"]], ids=" ".join)
def test_no_line_of_the_kafka_client_s_file_is_told(tmp_path: Path, line: str, verb: list[str]) -> None:
    (tmp_path / "client.properties").write_text(f"socket.keepalive.enable=true\n{line}\n")
    assert CANARY not in _said(tmp_path, verb, {"KAFKA_CONFIG_FILE": "client.properties"})


def test_no_secret_in_an_env_file_or_a_toml_file_is_told_even_when_the_file_is_broken(tmp_path: Path) -> None:
    (tmp_path / ".env").write_text(f"KAFKA_SASL_PASSWORD={CANARY}\nSERVICE_PORT=a\nNO SUCH {CANARY}\n")
    assert CANARY not in _said(tmp_path, ["config", "check"], {})
    (tmp_path / ".env").unlink()
    (tmp_path / "s.toml").write_text(f'[kafka]\nsasl_password = "{CANARY}"\nbroken = {CANARY}\n')
    assert CANARY not in _said(tmp_path, ["config", "check"], {"SENSOR_STORAGE_CONFIG": "s.toml"})


# ── the service ──


class _RefusesAndTellsWhatItGot(BaseHTTPRequestHandler):
    """A store whose errors repeat the request, as those of real ones do."""

    protocol_version = "HTTP/1.1"
    asked = 0

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - its name there
        """Say nothing."""

    def _answer(self) -> None:
        type(self).asked += 1
        self.rfile.read(int(self.headers.get("content-length") or 0))
        body = f"<Error><Code>Odd</Code><Message>got {self.path} {self.headers}</Message></Error>".encode()
        self.send_response(400)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    do_GET = do_PUT = do_HEAD = _answer  # noqa: N815 - the names the library calls


@contextmanager
def _store() -> Iterator[int]:
    with ThreadingHTTPServer(("127.0.0.1", 0), _RefusesAndTellsWhatItGot) as server:
        thread = Thread(target=server.serve_forever, daemon=True)
        thread.start()
        yield int(server.server_address[1])
        server.shutdown()
        thread.join()


def _asked(port: int, path: str, **headers: str) -> str:
    """The answer with its headers. Underscores in names stand for hyphens."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}
    request = Request(f"http://127.0.0.1:{port}{path}", headers=named)
    try:
        with urlopen(request, timeout=20) as answer:  # noqa: S310 - our own address
            return str(answer.read() + str(answer.headers).encode())
    except HTTPError as error:
        with error:
            return str(error.read() + str(error.headers).encode())


def _requests(port: int, reader: str) -> Iterator[str]:
    """Many addresses but `/dead-letters`, with good keys, bad keys, and secrets wherever a client may put one."""
    open_paths = ["/health", "/health/ready", "/metrics", "/openapi.json", "/"]
    for path in [*open_paths, "/storage/stats", "/assets", "/azure/files", "/query?asset=a", "/nowhere"]:
        joint = "&" if "?" in path else "?"
        yield _asked(port, path, authorization=f"Bearer {reader}")
        yield _asked(port, path, x_api_key=f"{CANARY}-key")
        yield _asked(port, f"{path}{joint}api_key={CANARY}&sig={CANARY}", authorization=f"Bearer {reader}")
        yield _asked(port, path, authorization=f"Basic {CANARY}", cookie=f"session={CANARY}")
        yield _asked(port, path, x_forwarded_user=CANARY, x_forwarded_groups=CANARY, referer=CANARY)
    for parameter in ("cursor", "start", "limit", "format", "tz"):
        for path in ("/assets", "/query", "/azure/files", "/latest"):
            yield _asked(port, f"{path}?{parameter}=token={CANARY}", authorization=f"Bearer {reader}")


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("secure")) as running_kafka:
        yield running_kafka


@pytest.mark.slow
def test_no_secret_is_in_logs_answers_metrics_or_what_the_verbs_say(
    tmp_path: Path, kafka: SecureKafka
) -> None:
    """Kafka takes the login; registry and store refuse theirs, so that the service has much to complain of."""
    port, reader, topic = free_port(), new_key(), "sensor-data-secrets"
    further = tmp_path / "client.properties"
    further.write_text(f"sasl.password={PASSWORD}\n")
    with _store() as store_port, fake_registry(free_port()) as registry:
        registry.authorization = "Basic other"
        settings = {
            "SERVICE_PORT": str(port),
            "LOG_LEVEL": "DEBUG",
            "KAFKA_SECURITY_PROTOCOL": "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": "PLAIN",
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_CONFIG_FILE": str(further),
            "API_KEYS": line_of("reader", "read", reader),
            "SCHEMA_REGISTRY_URL": registry.url,
            "SCHEMA_REGISTRY_USERNAME": "me",
            "SCHEMA_REGISTRY_PASSWORD": CANARY,
            "AZURE_STORAGE_CONNECTION_STRING": f"AccountName=acc;BlobEndpoint=http://127.0.0.1:{store_port}/acc;"
            f"SharedAccessSignature=sv=2024&sp=rw&sig={CANARY}",
            "AZURE_MAX_RETRIES": "0",
            "UPLOAD_INTERVAL_SECONDS": "1",
        }
        plain = kafka.broker.bootstrap_servers
        create_topic(plain, topic)
        with running(tmp_path / "data", f"127.0.0.1:{kafka.sasl_plaintext}", topic, **settings) as service:
            produce(plain, topic, [OLD, f"{{broken {CANARY}", f'{{"value": "{CANARY}"}}'])
            service.wait_for_messages(3, seconds=40)
            produce(plain, topic, [b"\0\0\0\0\7x"])
            wait_until(lambda: any(one.paused for one in read_ingest(service.layout)), "it waits", seconds=40)
            wait_until(
                lambda: (cold := read_cold(service.layout)) is not None and cold.failures > 0,
                "uploads fail",
                seconds=40,
            )
            told = list(_requests(port, reader))
            shown = [service.run(*words) for words in (*VERBS, ["verify"], ["upload"]) if words != ["run"]]
            assert service.stop() == 0
        log = (tmp_path / "data" / "service.log").read_text()
    assert _RefusesAndTellsWhatItGot.asked
    assert registry.asked
    assert any('"status":' in one for one in told)
    for one in [*told, log, *(one.stdout + one.stderr for one in shown)]:
        assert CANARY not in one
        assert PASSWORD not in one
        assert reader not in one
        assert line_of("reader", "read", reader).split(":")[1] not in one
