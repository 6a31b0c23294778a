"""Kafka over TLS and with logins, against a real broker's SSL and SASL listeners; and what a wrong one is told."""

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from sensor_storage.checks.finding import Finding
from sensor_storage.checks.kafka import check_kafka
from sensor_storage.cli import run as run_cli
from sensor_storage.config import load
from sensor_storage.kafka.consumer import member_properties
from sensor_storage.kafka.handover import leave_group
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.status import read_ingest
from support.kafka_io import create_topic, produce
from support.secure_kafka import EVENT_HUBS_USER, PASSWORD, USER, SecureKafka, secure_kafka
from support.service import running
from support.waiting import wait_until

TOPIC = "sensor-data-secure"
Environment = dict[str, str]


@pytest.fixture(scope="module")
def kafka(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SecureKafka]:
    with secure_kafka(tmp_path_factory.mktemp("secure")) as running_kafka:
        create_topic(running_kafka.broker.bootstrap_servers, TOPIC)
        yield running_kafka


def _mutual(kafka: SecureKafka, _: Path) -> Environment:
    return {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.ssl}",
        "KAFKA_SECURITY_PROTOCOL": "SSL",
        "KAFKA_SSL_CA_LOCATION": str(kafka.authority),
        "KAFKA_SSL_CERTIFICATE_LOCATION": str(kafka.certificate),
        "KAFKA_SSL_KEY_LOCATION": str(kafka.key),
    }


def _login(mechanism: str, *, tls: bool = True) -> Callable[[SecureKafka, Path], Environment]:
    def environment(kafka: SecureKafka, _: Path) -> Environment:
        port = kafka.sasl_ssl if tls else kafka.sasl_plaintext
        return {
            "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "KAFKA_SECURITY_PROTOCOL": "SASL_SSL" if tls else "SASL_PLAINTEXT",
            "KAFKA_SASL_MECHANISM": mechanism,
            "KAFKA_SASL_USERNAME": USER,
            "KAFKA_SASL_PASSWORD": PASSWORD,
        } | ({"KAFKA_SSL_CA_LOCATION": str(kafka.authority)} if tls else {})

    return environment


def _token(kafka: SecureKafka, folder: Path) -> Environment:
    (folder / "client.properties").write_text(
        f"enable.sasl.oauthbearer.unsecure.jwt=true\nsasl.oauthbearer.config=principal={USER}\n"
    )
    return {
        "KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.sasl_ssl}",
        "KAFKA_SECURITY_PROTOCOL": "SASL_SSL",
        "KAFKA_SASL_MECHANISM": "OAUTHBEARER",
        "KAFKA_SSL_CA_LOCATION": str(kafka.authority),
        "KAFKA_CONFIG_FILE": str(folder / "client.properties"),
    }


WAYS: dict[str, Callable[[SecureKafka, Path], Environment]] = {
    "SSL with a certificate of its own": _mutual,
    "SASL_SSL PLAIN": _login("PLAIN"),
    "SASL_SSL SCRAM-SHA-256": _login("SCRAM-SHA-256"),
    "SASL_SSL SCRAM-SHA-512": _login("SCRAM-SHA-512"),
    "SASL_SSL OAUTHBEARER": _token,
    "SASL_PLAINTEXT SCRAM-SHA-512": _login("SCRAM-SHA-512", tls=False),
}
every_way = pytest.mark.parametrize("way", WAYS)


def look(environment: Environment) -> list[Finding]:
    return list(check_kafka(load(environment).kafka.client_properties(), re.compile("^sensor-data-")))


@every_way
def test_each_way_in_reaches_the_topics(kafka: SecureKafka, tmp_path: Path, way: str) -> None:
    findings = look(WAYS[way](kafka, tmp_path))
    assert [(one.name, one.state) for one in findings] == [
        ("Kafka address", "good"),
        ("Kafka", "good"),
        ("topics", "good"),
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    "way", ["SSL with a certificate of its own", "SASL_SSL SCRAM-SHA-512", "SASL_SSL OAUTHBEARER"]
)
def test_the_service_stores_what_comes_that_way_and_ends_cleanly(
    kafka: SecureKafka, tmp_path: Path, way: str
) -> None:
    environment = WAYS[way](kafka, tmp_path)
    servers = environment.pop("KAFKA_BOOTSTRAP_SERVERS")
    topic = f"sensor-data-{len(way)}"
    create_topic(kafka.broker.bootstrap_servers, topic)
    line = '{{"asset_id":"a","sensor_name":"s","timestamp":{},"value":{}}}'
    lines = [line.format(1_704_067_200 + number, number) for number in range(100)]
    produce(kafka.broker.bootstrap_servers, topic, lines)
    with running(tmp_path / "data", servers, topic, **environment) as service:
        service.wait_for_messages(100)
        assert service.stop() == 0
        # Who removes a leaving member speaks no tokens: others then take over after the session timeout.
        assert ("leave_postponed" in service.log()) == ("OAUTHBEARER" in way)
    assert service.run("verify", "--full").returncode == 0


@pytest.mark.slow
def test_at_event_hubs_it_does_without_topic_ids_and_stores_what_is_read_again_once(
    kafka: SecureKafka, tmp_path: Path
) -> None:
    """A broker that is taken for it by the login; neither protocol nor mechanism has to be set."""
    environment = {
        "KAFKA_SASL_USERNAME": EVENT_HUBS_USER,
        "KAFKA_SASL_PASSWORD": PASSWORD,
        "KAFKA_SSL_CA_LOCATION": str(kafka.authority),
    }
    topic, servers = "sensor-data-event-hubs", f"127.0.0.1:{kafka.sasl_ssl}"
    create_topic(kafka.broker.bootstrap_servers, topic)
    line = '{{"asset_id":"a","sensor_name":"s","timestamp":{},"value":{}}}'
    lines = [line.format(1_704_067_200 + number, number) for number in range(100)]
    produce(kafka.broker.bootstrap_servers, topic, lines)
    for group in ("first", "second"):
        settings = {**environment, "KAFKA_CONSUMER_GROUP": group}
        with running(tmp_path / "data", servers, topic, **settings) as service:
            wait_until(lambda: read_ingest(service.layout)[0].messages == 100, "it has read all", seconds=60)
            assert service.stop() == 0
        assert "topics_without_ids" in service.events()
    proof = service.run("verify", "--full", "--json")
    assert proof.returncode == 0, proof.stdout
    assert json.loads(proof.stdout.splitlines()[-1])["readings"] == 100
    assert {entry.source.topic_id for entry in read_all_ledgers(service.layout)} == {""}


@pytest.mark.parametrize("user", [USER, EVENT_HUBS_USER])
def test_the_simulated_plant_logs_in_as_the_service_does(
    kafka: SecureKafka,
    tmp_path: Path,
    user: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """`make test-kafka` feeds the Kafka of `.env`."""
    monkeypatch.chdir(tmp_path)
    settings = _login("PLAIN")(kafka, tmp_path) | {"KAFKA_SASL_USERNAME": user}
    lines = [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    (tmp_path / ".env").write_text("\n".join(lines))
    words = ["simulate", "--messages", "20", "--assets", "2", "--json", "--topic-prefix", "sensor-data-x-"]
    assert run_cli(words) == 0
    assert json.loads(capsys.readouterr().out)["messages_acknowledged"] >= 20


def test_a_member_of_a_group_at_event_hubs_has_the_session_it_needs_unless_another_is_set() -> None:
    there = {"bootstrap.servers": "plant.servicebus.windows.net:9093"}
    assert member_properties(there)["session.timeout.ms"] == 30_000
    assert member_properties({**there, "session.timeout.ms": "45000"})["session.timeout.ms"] == "45000"
    assert member_properties({"bootstrap.servers": "kafka:9092"})["session.timeout.ms"] == 10_000


def test_a_planned_leave_with_a_token_never_raises(kafka: SecureKafka, tmp_path: Path) -> None:
    client = load(_token(kafka, tmp_path)).kafka.client_properties()
    leave_group(client, "no-such-group", ["a"])


def test_a_wrong_password_is_told_as_one_and_never_shown(kafka: SecureKafka, tmp_path: Path) -> None:
    environment = WAYS["SASL_SSL SCRAM-SHA-512"](kafka, tmp_path) | {"KAFKA_SASL_PASSWORD": "canary-4711"}
    *_, found = look(environment)
    assert found.state == "bad"
    assert "KAFKA_SASL_PASSWORD" in found.fix
    assert "canary" not in found.line


def test_a_broker_signed_by_a_stranger_is_not_trusted(kafka: SecureKafka, tmp_path: Path) -> None:
    stranger = tmp_path / "stranger.pem"
    trustme.CA().cert_pem.write_to_path(str(stranger))
    environment = WAYS["SASL_SSL PLAIN"](kafka, tmp_path) | {"KAFKA_SSL_CA_LOCATION": str(stranger)}
    *_, found = look(environment)
    assert found.state == "bad"
    assert "KAFKA_SSL_CA_LOCATION" in found.fix


def test_plain_words_to_a_port_that_speaks_tls_are_told_as_that(kafka: SecureKafka) -> None:
    *_, found = look({"KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{kafka.ssl}"})
    assert found.state == "bad"
    assert "KAFKA_SECURITY_PROTOCOL" in found.fix
