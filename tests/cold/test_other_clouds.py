"""S3 and Google Cloud Storage, as far as can be seen without them: they are asked in their own words."""

import json
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest
from obstore.store import from_url

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.objects import ObjectStore
from sensor_storage.cold.store import Changed


class Cloud(ThreadingHTTPServer):
    """Has one blob, with the ETag "e1" and the generation 42; `asked` are method and conditions of each request."""

    daemon_threads = True

    def __init__(self) -> None:
        self.asked: list[tuple[str, dict[str, str]]] = []
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Cloud

    def _any(self) -> None:
        self.rfile.read(int(self.headers.get("Content-Length") or 0))
        conditions = {name.lower(): value for name, value in self.headers.items() if "match" in name.lower()}
        self.server.asked.append((self.command, conditions))
        self.send_response_only(200)
        for name, value in (
            ("ETag", '"e1"'),
            ("x-goog-generation", "42"),
            ("Last-Modified", "Thu, 26 Nov 2026 15:00:00 GMT"),
            ("Content-Length", "0"),
        ):
            self.send_header(name, value)
        self.end_headers()

    do_GET = do_HEAD = do_PUT = _any  # noqa: N815 - as the library names them

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - nothing is told
        pass


@pytest.fixture
def cloud() -> Iterator[Cloud]:
    with Cloud() as running:
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()


def google(cloud: Cloud) -> ObjectStore:
    account = {"gcs_base_url": cloud.address, "disable_oauth": True}
    words = json.dumps({**account, "client_email": "", "private_key": "", "private_key_id": ""})
    store = from_url("gs://plant", service_account_key=words, client_options={"allow_http": True})
    return ObjectStore(store, "gs://plant")


def amazon(cloud: Cloud) -> ObjectStore:
    store = from_url(
        "s3://plant",
        endpoint=cloud.address,
        access_key_id="key",
        secret_access_key="secret",  # noqa: S106 - nobody's
        region="eu-west-1",
        client_options={"allow_http": True},
    )
    return ObjectStore(store, "s3://plant")


@pytest.mark.parametrize(
    ("make", "none", "same"),
    [
        (google, {"x-goog-if-generation-match": "0"}, {"x-goog-if-generation-match": "42"}),
        (amazon, {"if-none-match": "*"}, {"if-match": '"e1"'}),
    ],
)
def test_a_write_is_conditional_in_each_clouds_own_words(
    cloud: Cloud, make: Callable[[Cloud], ObjectStore], none: dict[str, str], same: dict[str, str]
) -> None:
    store = make(cloud)
    store.write("raw/x", b"content", replaces=None, metadata={})
    store.write("raw/x", b"content", replaces='"e1"', metadata={})
    assert [conditions for method, conditions in cloud.asked if method == "PUT"] == [none, same]


def test_a_generation_is_not_taken_for_the_one_that_was_read(cloud: Cloud) -> None:
    with pytest.raises(Changed):
        google(cloud).write("raw/x", b"content", replaces='"older"', metadata={})
    assert [method for method, _ in cloud.asked] == ["HEAD"]


@pytest.mark.parametrize("url", ["s3://bucket", "gs://bucket", "az://container", "file:///mnt/cold"])
def test_a_store_of_each_kind_is_opened_by_its_url(url: str) -> None:
    assert open_store(Place(url, account="plant")).url == url
