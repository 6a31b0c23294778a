"""API keys: what a caller must know to read or to change.

They are kept as digests, in a file that is read again when it changes. A line is `NAME SCOPE sha256:HEX`, with
the scope `read` or `admin` (which may read too); empty lines and `#` are passed over. Behind it a `read` key may
have the assets it is limited to: patterns with `*`, separated by commas, percent-encoded like an address.

`sensor-storage config key` makes a key and its line. A key has 256 random bits, so its plain SHA-256 tells nobody
anything. Several lines at once are how a key is replaced: add the new one, move the callers, take the old one away.
"""

import hashlib
import hmac
import re
import secrets
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import Literal, NamedTuple, TypeAlias
from urllib.parse import quote, unquote

from sensor_storage.clock import Clock
from sensor_storage.errors import Usage
from sensor_storage.log import get
from sensor_storage.storage.file_state import FileState, file_state

Scope: TypeAlias = Literal["read", "admin"]
SCOPES: tuple[Scope, ...] = ("read", "admin")
PREFIX = "sds_"
"""What a key begins with, so that scanners find one that was published by mistake."""

_LINE = re.compile(
    r"(?P<name>[\w.-]{1,64})\s+(?P<scope>read|admin)\s+sha256:(?P<digest>[0-9a-f]{64})(?:\s+(?P<assets>\S+))?"
)
_LOOK_SECONDS = 1.0
_log = get("api")


class Key(NamedTuple):
    """A key as it is kept."""

    name: str
    scope: Scope
    digest: bytes
    assets: tuple[str, ...] = ()
    """Patterns of the assets it may read; none: all."""


def new_key() -> str:
    """A key nobody has."""
    return PREFIX + secrets.token_urlsafe(32)


def line_of(name: str, scope: Scope, key: str, assets: Sequence[str] = ()) -> str:
    """The line that lets the key in."""
    limits = ",".join(quote(one, safe="*") for one in assets)
    return f"{name} {scope} sha256:{_digest(key).hex()} {limits}".rstrip()


def parse_keys(text: str) -> tuple[Key, ...]:
    """The keys in the lines, which may also be separated by `;`. ValueError names the line, never what is in it."""
    keys = []
    for number, line in enumerate(re.split(r"[;\n]", text), 1):
        if not line.strip() or line.lstrip().startswith("#"):
            continue
        match = _LINE.fullmatch(line.strip())
        if match is None:
            raise ValueError(f"line {number} is not NAME read|admin sha256:HEX, as `config key` makes it")
        scope: Scope = "admin" if match["scope"] == "admin" else "read"
        assets = tuple(unquote(one) for one in (match["assets"] or "").split(",") if one)
        if assets and scope == "admin":
            raise ValueError(f"line {number}: only a key of scope read can be limited to assets")
        keys.append(Key(match["name"], scope, bytes.fromhex(match["digest"]), assets))
    return tuple(keys)


class KeyRing:
    """The keys in force. Without a text and a file there are none, and `guards` is false."""

    def __init__(self, clock: Clock, text: str = "", path: Path | None = None) -> None:
        self._clock = clock
        self._path = path
        self._lock = Lock()
        self._looked_at = clock.monotonic()
        self._seen: FileState | None = None
        self.guards = bool(text or path)
        try:
            self._keys = parse_keys(text) if path is None else self._read(path)
        except (OSError, ValueError) as error:
            where = "API_KEYS" if path is None else f"API_KEYS_FILE {path}"
            raise Usage(f"{where}: {error}", hint="sensor-storage config key makes a line") from None

    def find(self, given: str) -> Key | None:
        """The key that was given, in a time that tells nothing of which are there."""
        self._look_again()
        digest, found = _digest(given), None
        for key in self._keys:
            if hmac.compare_digest(key.digest, digest):
                found = key
        return found

    def _look_again(self) -> None:
        """Read a file that has changed; one that can't be read, or not in part, changes nothing."""
        now = self._clock.monotonic()
        with self._lock:
            if self._path is None or now - self._looked_at < _LOOK_SECONDS:
                return
            self._looked_at = now
            try:
                if file_state(self._path) != self._seen:
                    self._keys = self._read(self._path)
                    _log.info("api_keys_read", keys=len(self._keys))
            except (OSError, ValueError) as error:
                _log.error("api_keys_not_read", error=str(error), hint="the keys read before stay in force")

    def _read(self, path: Path) -> tuple[Key, ...]:
        self._seen = file_state(path)
        return parse_keys(path.read_text("utf-8-sig"))


def presented(headers: Sequence[tuple[bytes, bytes]]) -> str:
    """The key among a request's headers: `Authorization: Bearer KEY`, or `X-API-Key: KEY`; empty without one."""
    found = {name: value.decode("latin-1") for name, value in headers}
    kind, _, key = found.get(b"authorization", "").partition(" ")
    return key.strip() if kind.lower() == "bearer" else found.get(b"x-api-key", "").strip()


def _digest(key: str) -> bytes:
    return hashlib.sha256(key.encode("utf-8", "surrogateescape")).digest()
