"""Kafka over TLS and with logins, against a real broker's SSL and SASL listeners; and what a wrong one is told."""

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import trustme

from sensor_storage.checks.finding import Finding
from sensor_storage.checks.kafka import check_kafka
from sensor_storage.config import load
from sensor_storage.kafka.handover import leave_group
from support.kafka_io import create_topic, produce
from support.secure_kafka import PASSWORD, USER, SecureKafka, secure_kafka
from support.service import running

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
