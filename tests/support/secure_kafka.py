"""A real broker with listeners that ask for TLS and for a login, and the files its clients need."""

import json
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import trustme
from confluent_kafka.admin import AdminClient
from confluent_kafka.admin._scram import ScramCredentialInfo, ScramMechanism, UserScramCredentialUpsertion
from cryptography.hazmat.primitives.serialization import (
    Encoding,
    NoEncryption,
    PrivateFormat,
    load_pem_private_key,
)

from sensor_storage.demo.broker import LOOPBACK, EmbeddedBroker
from support.prometheus import free_port

USER, PASSWORD = "service", "pass=wo;rd '1"
EVENT_HUBS_USER = "$ConnectionString"
"""By whose name, with the same password, a client takes this broker for Azure Event Hubs."""


@dataclass(frozen=True)
class SecureKafka:
    """The broker, the ports of its further listeners, and the clients' files."""

    broker: EmbeddedBroker
    ssl: int
    sasl_ssl: int
    sasl_plaintext: int
    authority: Path
    certificate: Path
    key: Path


def _pkcs8(pem: bytes) -> bytes:
    """The key as Kafka reads it."""
    key = load_pem_private_key(pem, None)
    return key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())


def _jaas(module: str, **options: str) -> str:
    words = [f"org.apache.kafka.common.security.{module}", "required"]
    return " ".join([*words, *(f'{name}="{value}"' for name, value in options.items())]) + ";"


@contextmanager
def secure_kafka(folder: Path) -> Iterator[SecureKafka]:
    """Plain for the broker's own use; SSL that wants the client's certificate; SASL with and without TLS."""
    authority = trustme.CA()
    server, client = authority.issue_cert(LOOPBACK, "localhost"), authority.issue_cert("service@plant")
    files = {"ca": authority.cert_pem.bytes(),
             "client": b"".join(one.bytes() for one in client.cert_chain_pems),
             "client-key": client.private_key_pem.bytes(),
             "server": _pkcs8(server.private_key_pem.bytes())
             + b"".join(one.bytes() for one in server.cert_chain_pems)}  # fmt: skip
    paths = {name: folder / f"{name}.pem" for name in files}
    for name, content in files.items():
        paths[name].write_bytes(content)
    ports = {name: free_port() for name in ("PLAINTEXT", "SSL", "SASL_SSL", "SASL_PLAINTEXT", "CONTROLLER")}
    listeners = {name: f"{name}://{LOOPBACK}:{port}" for name, port in ports.items()}
    directory = folder / "kafka"
    directory.mkdir()
    identity = {"cluster_id": "ABCDEFGHIJKLMNOPQRSTUg", "port": ports["PLAINTEXT"],
                "controller_port": ports["CONTROLLER"]}  # fmt: skip
    (directory / "broker.json").write_text(json.dumps(identity))
    plain = _jaas("plain.PlainLoginModule", **{f"user_{user}": PASSWORD for user in (USER, EVENT_HUBS_USER)})
    properties = {
        "listeners": ",".join(listeners.values()),
        "listener.security.protocol.map": "CONTROLLER:PLAINTEXT,"
        + ",".join(f"{name}:{name}" for name in listeners if name != "CONTROLLER"),
        "advertised.listeners": ",".join(place for name, place in listeners.items() if name != "CONTROLLER"),
        "ssl.keystore.type": "PEM",
        "ssl.keystore.location": str(paths["server"]),
        "ssl.truststore.type": "PEM",
        "ssl.truststore.location": str(paths["ca"]),
        "listener.name.ssl.ssl.client.auth": "required",
        "sasl.enabled.mechanisms": "PLAIN,SCRAM-SHA-256,SCRAM-SHA-512,OAUTHBEARER",
    }
    for listener in ("sasl_ssl", "sasl_plaintext"):
        head = f"listener.name.{listener}"
        properties |= {
            f"{head}.plain.sasl.jaas.config": plain,
            f"{head}.scram-sha-256.sasl.jaas.config": _jaas("scram.ScramLoginModule"),
            f"{head}.scram-sha-512.sasl.jaas.config": _jaas("scram.ScramLoginModule"),
            f"{head}.oauthbearer.sasl.jaas.config": _jaas(
                "oauthbearer.OAuthBearerLoginModule", unsecuredLoginStringClaim_sub=USER
            ),
        }
    with EmbeddedBroker(directory, port=ports["PLAINTEXT"], properties=properties) as broker:
        admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
        for mechanism in (ScramMechanism.SCRAM_SHA_256, ScramMechanism.SCRAM_SHA_512):
            info = ScramCredentialInfo(mechanism, 4096)
            wanted = UserScramCredentialUpsertion(USER, info, PASSWORD.encode())
            for done in admin.alter_user_scram_credentials([wanted]).values():
                done.result(30)
        yield SecureKafka(
            broker,
            ports["SSL"],
            ports["SASL_SSL"],
            ports["SASL_PLAINTEXT"],
            paths["ca"],
            paths["client"],
            paths["client-key"],
        )
