"""A schema registry of the tests' own: the REST routes a consumer asks, with logins and faults on request."""

import base64
import json
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any
from urllib.parse import unquote

from google.protobuf.descriptor_pb2 import FileDescriptorProto


class FakeRegistry:
    """What it knows, and how it behaves; it may be told otherwise while it runs."""

    def __init__(self, port: int) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.schemas: dict[int, dict[str, Any]] = {}
        self.subjects: dict[str, dict[str, Any]] = {}
        self.authorization = ""
        self.fault = 0
        self.garbage = b""
        self.asked: list[str] = []

    def add(
        self,
        number: int,
        schema: object,
        *,
        kind: str = "AVRO",
        references: Sequence[str] = (),
        subject: str = "",
    ) -> None:
        """Register a schema: of Protobuf a file descriptor, else its JSON. `references` are subjects by name."""
        text = (
            base64.b64encode(schema.SerializeToString()).decode()
            if isinstance(schema, FileDescriptorProto)
            else json.dumps(schema)
        )
        answer: dict[str, Any] = {"schema": text}
        if kind != "AVRO":
            answer["schemaType"] = kind
        if references:
            answer["references"] = [{"name": name, "subject": name, "version": 1} for name in references]
        self.schemas[number] = answer
        if subject:
            self.subjects[subject] = answer

    def answer(self, path: str, authorization: str) -> tuple[int, object]:
        """The status and what is said."""
        self.asked.append(path)
        if self.fault:
            return self.fault, {"error_code": self.fault, "message": "out of order"}
        if self.authorization and authorization != self.authorization:
            return 401, {"error_code": 40101, "message": "Unauthorized"}
        return self._looked_up(path)

    def _looked_up(self, path: str) -> tuple[int, object]:
        place, _, query = path.partition("?")
        if place == "/schemas/types":
            return 200, ["JSON", "PROTOBUF", "AVRO"]
        if found := re.fullmatch(r"/schemas/ids/(\d+)", place):
            known, missing = self.schemas.get(int(found[1])), 40403
        elif found := re.fullmatch(r"/subjects/([^/]+)/versions/1", place):
            known, missing = self.subjects.get(unquote(found[1])), 40401
        else:
            return 404, {"error_code": 404, "message": "HTTP 404 Not Found"}
        if known is None:
            return 404, {"error_code": missing, "message": "not found"}
        if known.get("schemaType") == "PROTOBUF" and query != "format=serialized":
            return 200, {**known, "schema": 'syntax = "proto3";'}
        return 200, known


@contextmanager
def fake_registry(port: int = 0) -> Iterator[FakeRegistry]:
    """A registry that answers until the block ends."""
    registry = FakeRegistry(port)

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            status, said = registry.answer(self.path, self.headers.get("authorization", ""))
            body = registry.garbage or json.dumps(said).encode()
            self.send_response(status)
            self.send_header("content-length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", port), Handler)
    server.daemon_threads = True
    registry.url = f"http://127.0.0.1:{server.server_address[1]}"
    thread = Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield registry
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
