"""What is told of a store that gives no good answer: a line with the cause, and what to do."""

import ssl
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from datetime import timedelta
from pathlib import Path
from socket import SHUT_RDWR, SHUT_WR, create_server, socket
from threading import Thread
from typing import Final, TypeAlias

import pytest
import trustme
from obstore.exceptions import BaseError

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.reactions import reaction
from sensor_storage.cold.store import ColdStore
from sensor_storage.demo.azurite import ACCOUNT, KEY
from sensor_storage.errors import DiskFull, Transient

Server: TypeAlias = Callable[[socket], None]


def says(status: str, code: str, message: str) -> Server:
    """An answer as Azure's are."""
    body = f"<?xml version='1.0'?><Error><Code>{code}</Code><Message>{message}\nRequestId:1</Message></Error>"
    return sends(f"HTTP/1.1 {status}\r\nContent-Length: {len(body)}\r\nConnection: close\r\n\r\n{body}")


def sends(text: str) -> Server:
    """These bytes, and then an end."""

    def answer(connection: socket) -> None:
        connection.recv(1 << 16)
        connection.sendall(text.encode())
        connection.shutdown(SHUT_WR)
        while connection.recv(1 << 16):
            pass

    return answer


def is_silent(connection: socket) -> None:
    """Takes all and says nothing."""
    while connection.recv(1 << 16):
        pass


def is_strange(connection: socket) -> None:
    """Speaks TLS, with a certificate of an authority nobody knows."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
    try:
        with context.wrap_socket(connection, server_side=True) as secure:
            secure.recv(1)
    except OSError:
        pass


@contextmanager
def listening(server: Server) -> Iterator[int]:
    """The port of the server, which takes one connection after the other."""
    with create_server(("127.0.0.1", 0)) as taking:

        def serve() -> None:
            with suppress(OSError):
                while True:
                    with taking.accept()[0] as connection:
                        server(connection)

        thread = Thread(target=serve)
        thread.start()
        yield int(taking.getsockname()[1])
        taking.shutdown(SHUT_RDWR)
        thread.join()


WHEN: Final = "ETag: 1\r\nLast-Modified: Fri, 27 Nov 2026 10:00:00 GMT"
HALF: Final = f"HTTP/1.1 200 OK\r\n{WHEN}\r\nContent-Length: 99\r\n\r\nhalf"
REACHABLE, BUSY_STORE, TRY_OUT = "reachable", "each time later", "tries the store out"


@pytest.mark.parametrize(
    ("server", "scheme", "said", "hint"),
    [
        (says("503 Service Unavailable", "ServerBusy", "Too much at once."), "http",
         "503 Service Unavailable, ServerBusy, Too much at once", BUSY_STORE),
        (says("429 Too Many Requests", "Slow", "Slow down."), "http",
         "429 Too Many Requests, Slow, Slow down", BUSY_STORE),
        (says("400 Bad Request", "Odd", "No such tier."), "http", "400 Bad Request, Odd, No such tier", TRY_OUT),
        (sends("HTTP/1.1 502 Bad Gateway\r\nContent-Length: 4\r\nConnection: close\r\n\r\nnone"), "http",
         "502 Bad Gateway, none", BUSY_STORE),
        (is_silent, "http", "no answer in time", REACHABLE),
        (sends(""), "http", "the connection ended before the answer did", REACHABLE),
        (sends(HALF), "http", "the connection ended before the answer did", REACHABLE),
        (sends("HTTP/1.1 200 OK\r\n\r\n"), "https", "what answers there does not speak TLS", REACHABLE),
        (is_strange, "https", "its certificate is not one this machine trusts", REACHABLE),
    ],
    ids=["busy", "throttled", "refused in part", "proxy", "silent", "ended", "half", "no TLS", "unknown authority"],
)  # fmt: skip
def test_the_cause_is_told_in_a_line(
    tmp_path: Path, server: Server, scheme: str, said: str, hint: str
) -> None:
    with listening(server) as port, (tmp_path / "copy").open("wb") as file:
        endpoint = f"{scheme}://127.0.0.1:{port}/{ACCOUNT}"
        silence = timedelta(seconds=1 if server is is_silent else 60)
        place = Place("az://c", ACCOUNT, KEY, endpoint=endpoint, max_retries=0, silence=silence)
        with pytest.raises(Transient) as caught:
            open_store(place).download("a/b.parquet", file)
    assert str(caught.value) == f"read a/b.parquet in az://c: {said}"
    assert hint in caught.value.hint


def drips(connection: socket) -> None:
    """An answer that takes its time, and never falls silent for long."""
    connection.recv(1 << 16)
    connection.sendall(f"HTTP/1.1 200 OK\r\n{WHEN}\r\nContent-Length: 9\r\n\r\n".encode())
    for _ in range(9):
        time.sleep(0.3)  # a silence, but a shorter one than gives a store up: this is what is tried
        connection.sendall(b"x")


def answers_late(connection: socket) -> None:
    """A store that has to be sent much before it says that it has it."""
    connection.settimeout(2)
    with suppress(TimeoutError):
        while connection.recv(1 << 20):
            pass
    connection.sendall(b"HTTP/1.1 201 Created\r\nETag: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n")


def test_a_store_is_given_up_once_it_falls_silent_but_for_what_takes_long_to_send(tmp_path: Path) -> None:
    def store(port: int) -> ColdStore:
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        return open_store(
            Place("az://c", ACCOUNT, KEY, endpoint=endpoint, max_retries=0, silence=timedelta(seconds=1))
        )

    with listening(drips) as port, (tmp_path / "copy").open("wb") as file:
        blob = store(port).download("x", file)
        assert blob is not None
        assert (blob.size_bytes, file.tell()) == (9, 9)
    with listening(answers_late) as port:
        with pytest.raises(Transient, match="no answer in time"):
            store(port).write("x", b"x", replaces=None, metadata={})
        assert store(port).write("x", b"x" * 100_000, replaces=None, metadata={}).size_bytes == 100_000


def test_a_port_where_nobody_listens_is_told_in_the_system_s_words() -> None:
    with closing(socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}/{ACCOUNT}"
        place = Place("az://c", ACCOUNT, KEY, endpoint=endpoint, max_retries=0)
        with pytest.raises(Transient) as caught:
            open_store(place).look("a/b.parquet")
    assert str(caught.value) == "look at a/b.parquet in az://c: Connection refused"
    assert REACHABLE in caught.value.hint


def test_a_list_with_tiers_that_is_refused_is_told_as_any_other_answer() -> None:
    with listening(says("503 Service Unavailable", "ServerBusy", "Too much.")) as port:
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        with pytest.raises(Transient) as caught:
            open_store(Place("az://c", ACCOUNT, KEY, endpoint=endpoint)).page("", cursor="", limit=10)
    assert str(caught.value) == "list in az://c: 503 Service Unavailable"
    assert BUSY_STORE in caught.value.hint


def test_a_full_disk_is_not_the_stores() -> None:
    with listening(sends(f"HTTP/1.1 200 OK\r\n{WHEN}\r\nContent-Length: 4\r\n\r\nfull")) as port:
        endpoint = f"http://127.0.0.1:{port}/{ACCOUNT}"
        with pytest.raises(DiskFull), Path("/dev/full").open("wb", buffering=0) as file:
            open_store(Place("az://c", ACCOUNT, KEY, endpoint=endpoint)).download("x", file)


ASKED: Final = "Error performing PUT http://x/Timeout/kind - HTTP error: sending\n\nDebug source:\nuri: Some(http://x/Timeout),"
ANSWERED: Final = "Server returned non-2xx status code"
TEXTS: Final = {
    f'{ASKED} Custom {{ error: "failed to lookup address information: Name or service not known" }}':
        "failed to lookup address information: Name or service not known",
    f"{ASKED} hyper::Error(Parse(Version))": "what answers there does not speak HTTP",
    f"something\n  new{'!' * 1000}\n\nDebug source:\nGeneric {{ }}": f"something new{'!' * 287}",
    f"{ANSWERED}: 503 Busy: <Code>A\nB</Code><Message>{'y' * 1000}</Message>": f"503 Busy, A B, {'y' * 285}",
    f"{ANSWERED}: 599 <unknown status code>: no": "599 <unknown status code>, no",
    f'Error performing token request: GET http://x - {ANSWERED}: 400 Bad Request: {{"error_description": "None"}}':
        "no token for the identity: 400 Bad Request, None",
}  # fmt: skip


@pytest.mark.parametrize("text", TEXTS, ids=range(len(TEXTS)))
def test_whatever_the_library_says_is_told_in_one_short_line(text: str) -> None:
    """By its text: how long a name's refusal takes is up to the machine's resolver."""
    assert (
        str(reaction("write a", BaseError(f"Generic MicrosoftAzure error: {text}")))
        == f"write a: {TEXTS[text]}"
    )
