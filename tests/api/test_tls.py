"""TLS of the API: nothing else is spoken, old versions are refused, and a renewed certificate needs no restart."""

import os
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Queue
from threading import Event, Thread

import httpx
import pytest
import trustme

from sensor_storage.api import tls
from sensor_storage.api.server import serve
from sensor_storage.api.tls import Certificate, Renewed
from sensor_storage.checks.service import check_answer
from sensor_storage.clock import ManualClock
from sensor_storage.errors import Usage
from sensor_storage.storage.layout import Layout
from support.waiting import wait_until

AUTHORITY = trustme.CA()


@pytest.fixture(autouse=True)
def _at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """A renewed certificate is looked for all the time."""
    monkeypatch.setattr(tls, "LOOK_SECONDS", 0.001)


def issue(folder: Path, authority: trustme.CA = AUTHORITY) -> Certificate:
    """A fresh pair in the same two files."""
    made = authority.issue_cert("127.0.0.1", "localhost")
    chain, key = folder / "tls.crt", folder / "tls.key"
    for path, text in (
        (chain, b"".join(one.bytes() for one in made.cert_chain_pems)),
        (key, made.private_key_pem.bytes()),
    ):
        aside = path.with_suffix(".new")
        aside.write_bytes(text)
        aside.replace(path)
    return Certificate(chain, key)


def trusting(authority: trustme.CA = AUTHORITY) -> ssl.SSLContext:
    context = ssl.create_default_context()
    authority.configure_trust(context)
    return context


@contextmanager
def running(layout: Layout, clock: ManualClock, certificate: Certificate) -> Iterator[int]:
    stop, ports = Event(), Queue[int]()
    more = {"host": "127.0.0.1", "port": 0, "stop": stop, "listening": ports.put, "certificate": certificate}
    thread = Thread(target=serve, args=(layout, clock), kwargs=more)
    thread.start()
    try:
        yield ports.get(timeout=20)
    finally:
        stop.set()
        thread.join(20)
        assert not thread.is_alive()


def test_the_api_speaks_tls_alone_and_checks_itself(
    layout: Layout, clock: ManualClock, tmp_path: Path
) -> None:
    with running(layout, clock, issue(tmp_path)) as port:
        answer = httpx.get(f"https://127.0.0.1:{port}/health/live", verify=trusting())
        assert answer.json() == {"status": "ok"}
        assert "strict-transport-security" in answer.headers
        with pytest.raises(httpx.TransportError):
            httpx.get(f"http://127.0.0.1:{port}/health/live")
        with pytest.raises(httpx.ConnectError):
            httpx.get(f"https://127.0.0.1:{port}/health/live", verify=trusting(trustme.CA()))
        assert [one.state for one in check_answer("127.0.0.1", port, tls=True)] == ["good"]
        assert [one.state for one in check_answer("127.0.0.1", port, tls=False)] == ["bad"]


def test_the_running_api_shows_a_renewed_certificate(
    layout: Layout, clock: ManualClock, tmp_path: Path
) -> None:
    certificate = issue(tmp_path)
    with running(layout, clock, certificate) as port:
        first = ssl.get_server_certificate(("127.0.0.1", port))
        issue(tmp_path)
        wait_until(lambda: ssl.get_server_certificate(("127.0.0.1", port)) != first, "the new one is shown")
        assert httpx.get(f"https://127.0.0.1:{port}/health/live", verify=trusting()).is_success


def test_old_versions_of_tls_are_refused(tmp_path: Path) -> None:
    assert issue(tmp_path).context().minimum_version == ssl.TLSVersion.TLSv1_2


def serial(context: ssl.SSLContext) -> int:
    """The serial number that a new connection to this context is shown."""
    server, caller = socket.socketpair()
    shown: list[int] = []

    def call() -> None:
        with trusting().wrap_socket(caller, server_hostname="localhost") as link:
            found = link.getpeercert() or {}
            shown.append(int(str(found["serialNumber"]), 16))

    thread = Thread(target=call)
    thread.start()
    with context.wrap_socket(server, server_side=True):
        thread.join(20)
    return shown[0]


@contextmanager
def kept_fresh(certificate: Certificate) -> Iterator[ssl.SSLContext]:
    renewed, stop = Renewed(certificate), Event()
    watching = Thread(target=renewed.keep_fresh, args=(stop,))
    watching.start()
    try:
        yield renewed.context
    finally:
        stop.set()
        watching.join(20)


def test_a_renewed_certificate_is_shown_to_new_callers_and_a_broken_one_is_not(tmp_path: Path) -> None:
    certificate = issue(tmp_path)
    with kept_fresh(certificate) as context:
        first = serial(context)
        certificate.key.write_bytes(b"half a key")
        os.utime(certificate.chain)
        assert serial(context) == first
        issue(tmp_path)
        wait_until(lambda: serial(context) != first, "the new one is shown")


def test_every_caller_is_answered_while_certificates_are_renewed(tmp_path: Path) -> None:
    pairs = []
    for number in range(2):
        (tmp_path / str(number)).mkdir()
        pairs.append(issue(tmp_path / str(number)))
    certificate, stop = issue(tmp_path), Event()

    def renew() -> None:
        while not stop.is_set():
            for pair in pairs:
                certificate.chain.write_bytes(pair.chain.read_bytes())
                certificate.key.write_bytes(pair.key.read_bytes())

    renewing = Thread(target=renew)
    with kept_fresh(certificate) as context:
        renewing.start()
        try:
            assert len({serial(context) for _ in range(300)}) > 1
        finally:
            stop.set()
            renewing.join(20)


@pytest.mark.parametrize("damage", ["other key", "no pem", "password"])
def test_a_pair_that_is_none_is_an_error_at_start_that_names_both_files(tmp_path: Path, damage: str) -> None:
    certificate = issue(tmp_path)
    if damage == "other key":
        (tmp_path / "other").mkdir()
        certificate = Certificate(certificate.chain, issue(tmp_path / "other").key)
    elif damage == "no pem":
        certificate.chain.write_text("nothing")
    else:
        text = certificate.key.read_text()
        head = "Proc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,00112233445566778899AABBCCDDEEFF\n\n"
        certificate.key.write_text(text.replace("KEY-----\n", f"KEY-----\n{head}", 1))
    with pytest.raises(Usage, match=r"TLS_CERT_FILE .* and TLS_KEY_FILE .*"):
        certificate.context()
