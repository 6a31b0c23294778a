"""Schemas by number, from a registry that speaks Confluent's REST interface; each is asked for once.

A registry that does not answer, or not with what was asked for, is waited for: only its own word that it knows
no such schema makes a message a dead letter.
"""

import base64
import json
import ssl
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from http import HTTPStatus
from pathlib import Path
from typing import Any, NamedTuple
from urllib.error import HTTPError, URLError
from urllib.parse import quote
from urllib.request import HTTPSHandler, Request, build_opener

from sensor_storage.clock import Clock
from sensor_storage.errors import Transient, Usage
from sensor_storage.kafka.refusal import Reason, Refused
from sensor_storage.log import get

MAX_SCHEMAS = 1000
"""Readers that are kept; the one used longest ago goes."""
UNKNOWN_SECONDS = 60.0
"""So long the registry is not asked again about a number it does not know."""
_MAX_UNKNOWN = 10_000
_MAX_REFERENCES = 100
_TIMEOUT_SECONDS = 5.0
_MAX_ANSWER_BYTES = 10_000_000
_LONGEST_PAUSE_SECONDS = 30.0
_NO_SUCH = frozenset({40401, 40402, 40403})
"""The registry's own words for: no such subject, version, schema."""
_LOGIN = "check SCHEMA_REGISTRY_USERNAME and SCHEMA_REGISTRY_PASSWORD, or SCHEMA_REGISTRY_TOKEN"
_WRONG_PLACE = "check SCHEMA_REGISTRY_URL: something answers there, but not as a schema registry"
_log = get("registry")

ReadPayload = Callable[[bytes], Any]
"""What the bytes behind a schema's number say: a tree, or bytes that are JSON. Refused where they say nothing."""


class SchemaWanted(Transient):
    """The registry has not said yet what a schema is; nothing may be decoded in its stead."""


class Registered(NamedTuple):
    """A schema as registered, with those it refers to by the name it uses for them."""

    kind: str
    text: str
    references: Mapping[str, "Registered"]


@dataclass(frozen=True, slots=True)
class RegistryAccess:
    """Where registries answer, of which the first that does is believed, and how to log in."""

    urls: tuple[str, ...]
    username: str = ""
    password: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    ca: Path | None = None
    certificate: Path | None = None
    key: Path | None = None


class Registry:
    """Asks a registry over HTTP."""

    def __init__(self, access: RegistryAccess) -> None:
        self._access = access
        try:
            context = ssl.create_default_context(cafile=access.ca)
            if access.certificate:
                context.load_cert_chain(access.certificate, access.key)
        except (OSError, ValueError) as error:
            raise Usage(
                f"read the registry's certificates: {error}",
                hint="check SCHEMA_REGISTRY_CA_LOCATION, SCHEMA_REGISTRY_CERTIFICATE_LOCATION"
                " and SCHEMA_REGISTRY_KEY_LOCATION",
            ) from None
        self._opener = build_opener(HTTPSHandler(context=context))

    def get(self, path: str) -> Any:  # noqa: ANN401 - any JSON
        """What the registry says; None where it says that there is no such thing. SchemaWanted otherwise."""
        for url in self._access.urls[:-1]:
            try:
                return self._get(url, path)
            except SchemaWanted as error:
                _log.warning("registry_passed_over", error=error.message)
        return self._get(self._access.urls[-1], path)

    def _get(self, url: str, path: str) -> Any:  # noqa: ANN401 - any JSON
        where = f"ask the schema registry for {url}{path}"
        request = Request(url + path)  # noqa: S310 - the setting's rule lets http and https through
        request.add_header("Accept", "application/vnd.schemaregistry.v1+json, application/json")
        if login := self._login():
            request.add_unredirected_header("Authorization", login)  # never to where a redirect points
        try:
            with self._opener.open(request, timeout=_TIMEOUT_SECONDS) as answer:
                return json.loads(answer.read(_MAX_ANSWER_BYTES))
        except HTTPError as error:
            with error:
                return _judged(where, error)
        except (URLError, OSError) as error:
            reason = error.reason if isinstance(error, URLError) else error
            raise SchemaWanted(
                f"{where}: {reason}", hint="check SCHEMA_REGISTRY_URL and the network"
            ) from None
        except ValueError:
            raise SchemaWanted(f"{where}: the answer is not JSON", hint=_WRONG_PLACE) from None

    def _login(self) -> str:
        if self._access.token:
            return f"Bearer {self._access.token}"
        pair = f"{self._access.username}:{self._access.password}"
        return f"Basic {base64.b64encode(pair.encode()).decode()}" if self._access.username else ""


def _judged(where: str, error: HTTPError) -> None:
    """Nothing where the registry says that there is none; SchemaWanted with what to do otherwise."""
    if error.code == HTTPStatus.NOT_FOUND:
        try:
            said = json.loads(error.read(_MAX_ANSWER_BYTES))
        except (ValueError, OSError):
            said = None
        if isinstance(said, dict) and said.get("error_code") in _NO_SUCH:
            return
        raise SchemaWanted(f"{where}: it answers 404", hint=_WRONG_PLACE)
    denied = error.code in {HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN}
    raise SchemaWanted(
        f"{where}: it answers {error.code}",
        hint=_LOGIN if denied else "it is tried again; see the registry's log",
    )


class Schemas:
    """How to read what stands behind each schema's number. One thread; ever longer pauses between failed tries."""

    def __init__(
        self,
        get: Callable[[str], Any],
        makers: Mapping[str, Callable[[Registered], ReadPayload]],
        clock: Clock,
    ) -> None:
        self._get = get
        self._makers = makers
        self._clock = clock
        self._readers: dict[int, ReadPayload] = {}
        self._unknown: dict[int, tuple[float, Refused]] = {}
        self._wanted: int | None = None
        self._why = SchemaWanted("")
        self._try_at = 0.0
        self._pause_seconds = 0.0

    def reader(self, number: int) -> ReadPayload:
        """The way to read; SchemaWanted while it is not known, Refused where there is none."""
        found = self._readers.pop(number, None)
        if found is None:
            found = self._ask(number)
            if len(self._readers) >= MAX_SCHEMAS:
                del self._readers[next(iter(self._readers))]
        self._readers[number] = found
        return found

    def awaited(self) -> str:
        """Why decoding has to wait, as a sentence; empty when it may go on. Asks again when it is time."""
        if self._wanted is not None:
            try:
                self.reader(self._wanted)
            except SchemaWanted as error:
                return f"{error.message}: {error.hint}" if error.hint else error.message
            except Refused:
                pass
        return ""

    def _ask(self, number: int) -> ReadPayload:
        now = self._clock.monotonic()
        until, refusal = self._unknown.get(number, (0.0, None))
        if refusal and now < until:
            raise Refused(refusal.reason, refusal.message, hint=refusal.hint)
        if now < self._try_at:
            raise SchemaWanted(self._why.message, hint=self._why.hint)
        try:
            reader = self._made(number)
        except SchemaWanted as error:
            self._pause_seconds = min(2 * self._pause_seconds or 1.0, _LONGEST_PAUSE_SECONDS)
            self._try_at = self._clock.monotonic() + self._pause_seconds
            self._wanted, self._why = number, error
            raise
        except Refused as error:
            self._settled()
            if len(self._unknown) >= _MAX_UNKNOWN:
                self._unknown.clear()
            self._unknown[number] = (now + UNKNOWN_SECONDS, error)
            raise
        self._settled()
        return reader

    def _settled(self) -> None:
        self._wanted, self._pause_seconds, self._try_at = None, 0.0, 0.0

    def _made(self, number: int) -> ReadPayload:
        said = self._get(f"/schemas/ids/{number}") if number else None
        if said is None:
            raise Refused(
                Reason.UNKNOWN_SCHEMA,
                f"the registry knows no schema {number}",
                hint="check SCHEMA_REGISTRY_URL, or what the sender puts before its messages",
            )
        registered = self._complete(said, f"/schemas/ids/{number}", {})
        if registered.kind not in self._makers:
            raise Refused(
                Reason.UNSUPPORTED_SCHEMA,
                f"schema {number} is of the kind {registered.kind[:40]!a}",
                hint="send Avro, Protobuf or JSON Schema",
            )
        _log.info("schema_learned", number=number, kind=registered.kind)
        return self._makers[registered.kind](registered)

    def _complete(self, said: Any, path: str, seen: dict[str, Registered]) -> Registered:  # noqa: ANN401 - JSON
        """The schema with all it refers to; of Protobuf the serialized descriptor, which needs no compiler."""
        kind = str(said.get("schemaType") or "AVRO") if isinstance(said, dict) else ""
        if kind == "PROTOBUF":
            said = self._get(f"{path}?format=serialized")
        if not isinstance(said, dict) or not isinstance(said.get("schema"), str):
            raise SchemaWanted(
                f"read the schema registry's answer to {path}: it holds no schema", hint=_WRONG_PLACE
            )
        references: dict[str, Registered] = {}
        for name, where in _references(said, path):
            if where not in seen:
                if len(seen) >= _MAX_REFERENCES:
                    raise Refused(
                        Reason.UNSUPPORTED_SCHEMA, f"the schema refers to more than {_MAX_REFERENCES} others"
                    )
                seen[where] = Registered(kind, "", {})
                found = self._get(where)
                if found is None:
                    raise SchemaWanted(f"ask the schema registry for {where}: it says that there is none")
                seen[where] = self._complete(found, where, seen)
            references[name] = seen[where]
        return Registered(kind, said["schema"], references)


def _references(said: Mapping[str, Any], path: str) -> list[tuple[str, str]]:
    """By what name a schema refers to others, and where the registry has these."""
    try:
        return [
            (
                str(one["name"]),
                f"/subjects/{quote(str(one['subject']), safe='')}/versions/{int(one['version'])}",
            )
            for one in said.get("references") or ()
        ]
    except (KeyError, TypeError, ValueError):
        raise SchemaWanted(
            f"read the schema registry's answer to {path}: its references are none", hint=_WRONG_PLACE
        ) from None
