"""What Azurite does not have: sign-in by an identity whose tokens run out, and a namespace with real folders."""

import json
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import Any, TypeAlias

import pytest

from sensor_storage.cold.connect import Place, open_store
from sensor_storage.cold.store import ColdStore
from support.waiting import wait_until

Identity: TypeAlias = Callable[["Azure", pytest.MonkeyPatch, Path], str]
FOLDERS = """<?xml version="1.0" encoding="utf-8"?><EnumerationResults><Prefix>raw/</Prefix><Blobs>{}</Blobs>
<NextMarker/></EnumerationResults>"""
ENTRY = """<Blob><Name>{name}</Name><Properties><Creation-Time>Thu, 26 Nov 2026 15:00:00 GMT</Creation-Time>
<Last-Modified>Thu, 26 Nov 2026 15:00:00 GMT</Last-Modified><Etag>0x1</Etag><ResourceType>{kind}</ResourceType>
<Content-Length>{size}</Content-Length><AccessTier>Cold</AccessTier><Content-Type/><BlobType>BlockBlob</BlobType></Properties></Blob>"""


class Azure(ThreadingHTTPServer):
    """An account, and who gives out its tokens, each good for two seconds; `bearers` are those that were shown."""

    daemon_threads = True

    def __init__(self) -> None:
        self.tokens = 0
        self.bearers: list[str] = []
        self.asked: list[str] = []
        self.listed = ""
        super().__init__(("127.0.0.1", 0), _Handler)

    @property
    def address(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def store(self) -> ColdStore:
        """The account's container, without key or token."""
        place = Place("az://plant", account="plant", endpoint=f"{self.address}/plant", max_retries=0)
        return open_store(place)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Azure

    def _any(self) -> None:
        sent = self.rfile.read(int(self.headers.get("Content-Length") or 0)).decode()
        if "token" in self.path:
            self.server.tokens += 1
            self.server.asked.append(f"{self.path} {sent}")
            token = {
                "access_token": f"token-{self.server.tokens}",
                "token_type": "Bearer",
                "resource": "storage",
                "client_id": "x",
                "not_before": "0",
                "expires_in": 2,
                "expires_on": str(int(time.time()) + 2),
            }
            self._say(200, json.dumps(token))
            return
        self.server.bearers.append(self.headers.get("Authorization", ""))
        self._say(201 if self.command == "PUT" else 200, self.server.listed)

    do_GET = do_PUT = do_POST = _any  # noqa: N815 - as the library names them

    def _say(self, status: int, content: str) -> None:
        self.send_response_only(status)
        self.send_header("ETag", '"1"')
        self.send_header("Last-Modified", "Thu, 26 Nov 2026 15:00:00 GMT")
        self.send_header("Content-Type", "application/json" if content.startswith("{") else "application/xml")
        self.send_header("Content-Length", str(len(content.encode())))
        self.end_headers()
        self.wfile.write(content.encode())

    def log_message(self, *_: Any) -> None:  # noqa: ANN401 - nothing is told
        pass


@pytest.fixture
def azure(monkeypatch: pytest.MonkeyPatch) -> Iterator[Azure]:
    for name in ("AZURE_STORAGE_ACCOUNT_KEY", "AZURE_STORAGE_SAS_KEY", "AZURE_FEDERATED_TOKEN_FILE"):
        monkeypatch.delenv(name, raising=False)
    with Azure() as running:
        Thread(target=running.serve_forever, args=(0.05,), daemon=True).start()
        yield running
        running.shutdown()


def managed(azure: Azure, monkeypatch: pytest.MonkeyPatch, _: Path) -> str:
    """As on a virtual machine: the machine's own address gives out tokens."""
    monkeypatch.setenv("AZURE_MSI_ENDPOINT", f"{azure.address}/token")
    return "resource=https%3A%2F%2Fstorage.azure.com"


def workload(azure: Azure, monkeypatch: pytest.MonkeyPatch, folder: Path) -> str:
    """As in a pod: the cluster's word for it, in a file, is exchanged."""
    word = folder / "federated"
    word.write_text("the-clusters-word")
    monkeypatch.setenv("AZURE_FEDERATED_TOKEN_FILE", str(word))
    monkeypatch.setenv("AZURE_CLIENT_ID", "client")
    monkeypatch.setenv("AZURE_TENANT_ID", "tenant")
    monkeypatch.setenv("AZURE_AUTHORITY_HOST", azure.address)
    return "client_assertion=the-clusters-word"


@pytest.mark.parametrize("identity", [managed, workload])
def test_an_identity_signs_in_and_gets_a_new_token_before_the_old_one_has_run_out(
    azure: Azure, monkeypatch: pytest.MonkeyPatch, tmp_path: Path, identity: Identity
) -> None:
    shown = identity(azure, monkeypatch, tmp_path)
    store = azure.store()

    def written() -> bool:
        store.write("raw/x", b"content", replaces=None, metadata={})
        return "Bearer token-2" in azure.bearers

    wait_until(written, "a second token is shown", seconds=15)
    assert azure.bearers[0] == "Bearer token-1"
    assert shown in azure.asked[0]


def test_folders_of_a_hierarchical_namespace_are_no_blobs(
    azure: Azure, monkeypatch: pytest.MonkeyPatch
) -> None:
    managed(azure, monkeypatch, Path())
    entries = [
        ("raw/press-1", "directory", 0),
        ("raw/press-1/x.parquet", "file", 7),
        ("raw/press-2", "directory", 0),
    ]
    azure.listed = FOLDERS.format(
        "".join(ENTRY.format(name=name, kind=kind, size=size) for name, kind, size in entries)
    )
    key = Place("az://plant", account="plant", key="a2V5", endpoint=f"{azure.address}/plant")
    listed = [blob for page in azure.store().pages("raw/") for blob in page]
    by_identity, by_key = (
        store.page("raw/", cursor="", limit=10).blobs for store in (azure.store(), open_store(key))
    )
    for found in (listed, by_identity, by_key):
        assert [(blob.name, blob.size_bytes) for blob in found] == [("raw/press-1/x.parquet", 7)]
    assert (by_identity[0].tier, by_key[0].tier) == (None, "Cold")
