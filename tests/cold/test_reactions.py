"""What is told of a store that gives no good answer: a line with the cause, and what to do."""

import ssl
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from socket import SHUT_WR, create_server, socket
from threading import Thread
from typing import Final, TypeAlias

import pytest
import trustme
from obstore.exceptions import BaseError

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.reactions import reaction
from sensor_storage.demo.azurite import ACCOUNT, KEY
from sensor_storage.errors import Transient

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
    with create_server(("127.0.0.1", 0)) as socket_:

        def serve() -> None:
            while True:
                try:
                    connection = socket_.accept()[0]
                except OSError:
                    return
                with connection:
                    server(connection)

        thread = Thread(target=serve, daemon=True)
        thread.start()
        yield int(socket_.getsockname()[1])


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
         "502 Bad Gateway", BUSY_STORE),
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
        place = Place("az://c", ACCOUNT, KEY, endpoint=endpoint, max_retries=0, timeout=timedelta(seconds=1))
        with pytest.raises(Transient) as caught:
            open_store(place).download("a/b.parquet", file)
    assert str(caught.value) == f"read a/b.parquet in az://c: {said}"
    assert hint in caught.value.hint


def test_a_port_where_nobody_listens_is_told_in_the_system_s_words() -> None:
    with closing(socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))
        endpoint = f"http://127.0.0.1:{nobody.getsockname()[1]}/{ACCOUNT}"
        place = Place("az://c", ACCOUNT, KEY, endpoint=endpoint, max_retries=0)
        with pytest.raises(Transient) as caught:
            open_store(place).look("a/b.parquet")
    assert str(caught.value) == "look at a/b.parquet in az://c: Connection refused"
    assert REACHABLE in caught.value.hint


NO_SUCH_NAME: Final = """Generic MicrosoftAzure error: Error performing PUT http://x in 2ms - HTTP error: sending

Debug source:
Generic { store: "MicrosoftAzure", source: ConnectError("dns error", Custom { kind: Uncategorized,
    error: "failed to lookup address information: Name or service not known" }) }"""


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (NO_SUCH_NAME, "failed to lookup address information: Name or service not known"),
        ("Generic S3 error: something\n  new\n\nDebug source:\nGeneric { }", "something new"),
    ],
)
def test_what_a_machine_s_resolver_or_a_later_library_says_is_one_line_too(text: str, said: str) -> None:
    """By its text: how long a real name's refusal takes is up to the machine's resolver."""
    assert str(reaction("write a", BaseError(text))) == f"write a: {said}"
