"""Readings for Python, from a data directory, a cold store or the service's API, in three lines.

    from sensor_storage.client import connect
    plant = connect("demo-data")      # or connect("http://127.0.0.1:8080"), or connect("az://container")
    table = plant.query("press-1", "temperature", start="-6h", resolution="minute")

An answer is an Arrow table: `table.to_pandas()`, `polars.from_arrow(table)`, `duckdb.from_arrow(table)`. All ways
give the same rows. A data directory may belong to a service that runs: whoever asks only reads.
"""

import json
import os
import weakref
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import tzinfo
from http import HTTPStatus
from pathlib import Path
from shutil import rmtree
from tempfile import mkdtemp
from typing import Any, Final, Protocol, TypeAlias
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode
from urllib.request import Request, urlopen

import pyarrow as pa

from sensor_storage.aggregation.files import Parameters
from sensor_storage.clock import SystemClock
from sensor_storage.cold.connect import folder_told, open_url
from sensor_storage.cold.files import ColdFiles
from sensor_storage.cold.store import ColdStore
from sensor_storage.cold.tree import learn
from sensor_storage.errors import Damaged, SensorStorageError, Transient, Usage
from sensor_storage.query.formats import META_KEY
from sensor_storage.query.queries import Limits, NothingStored, Queries
from sensor_storage.query.question import ALL, Asked, Interval, Question
from sensor_storage.query.tails import LastReading
from sensor_storage.query.times import as_text, read_instant, read_zone
from sensor_storage.storage.layout import Layout

Names: TypeAlias = str | Sequence[str]

KEY_VARIABLE: Final = "SENSOR_STORAGE_API_KEY"
"""The environment's variable with the key for services that ask for one; SSL_CERT_FILE names an authority."""

_TIMEOUT_SECONDS: Final = 120
_CACHE_BYTES: Final = 1_000_000_000


@dataclass(frozen=True, slots=True)
class Rows:
    """An answer as it is read: tables of one schema, by asset, sensor and time; and what it says of itself.

    Its `warnings` are whole when the tables are read: a damaged file is left out when it is met.
    """

    schema: pa.Schema
    tables: Iterator[pa.Table]
    meta: Mapping[str, Any]

    def table(self) -> pa.Table:
        """All of it; its schema's metadata has the resolution and, where raw readings were thinned, the method."""
        whole = pa.concat_tables([self.schema.empty_table(), *self.tables])
        return whole.replace_schema_metadata({META_KEY: json.dumps(dict(self.meta))})


class Plant(Protocol):
    """What can be asked, of a directory or of a service."""

    def assets(self) -> list[str]:
        """The assets something is stored of."""
        ...

    def latest(self, asset: Names = ALL, sensor: Names = ALL) -> list[dict[str, Any]]:
        """The newest reading of each sensor."""
        ...

    def rows(
        self,
        asset: Names = ALL,
        sensor: Names = ALL,
        *,
        start: str = "-1h",
        end: str = "now",
        resolution: Asked = "auto",
        max_points: int | None = None,
        tz: str = "UTC",
        addresses: bool = False,
        fields: Sequence[str] = (),
    ) -> Rows:
        """Readings or windows, as they are read. Errors say which argument is wrong."""
        ...

    def query(
        self,
        asset: Names = ALL,
        sensor: Names = ALL,
        *,
        start: str = "-1h",
        end: str = "now",
        resolution: Asked = "auto",
        max_points: int | None = None,
        tz: str = "UTC",
        addresses: bool = False,
        fields: Sequence[str] = (),
    ) -> pa.Table:
        """The same as one table. Times are ISO 8601, epoch numbers, or relative: `-6h`, `now`."""
        ...


def connect(
    place: str | Path, *, parameters: Parameters | None = None, cold_store: ColdStore | str | None = None
) -> Plant:
    """The data directory, the parent of `raw/`, the service's address, or a cold store's URL.

    `parameters` are those the service makes aggregates with, where they are not the defaults. What is not on this
    disk any more is read from `cold_store`: a URL, or a store; by default from the folder the service uploads to. A
    question that needs another store raises NoColdStore. A store alone, `file:///…`, `az://…`, `s3://…` or `gs://…`,
    has what was uploaded when this is called. Credentials are those of the environment. Usage unless the directory
    is there and is one, or the URL names a store.
    """
    if str(place).startswith(("http://", "https://")):
        return _Service(str(place).rstrip("/"))
    if "://" in str(place):
        return _Store(str(place), parameters)
    layout = Layout(Path(place).absolute() / "raw")
    if not layout.root.is_dir():
        raise Usage(f"{layout.root} is not there", hint="name the data directory, or the service's address")
    if not layout.may_be_ours():
        raise Usage(f"{layout.root} is no data directory: it has no raw/", hint="name the parent of raw/")
    return _Directory(layout, parameters, _cold_files(layout, cold_store))


def _cold_files(layout: Layout, store: ColdStore | str | None) -> ColdFiles:
    opened = open_url(store, os.environ, layout) if isinstance(store, str) else store or folder_told(layout)
    return ColdFiles(layout, opened, SystemClock(), _CACHE_BYTES)


class _Base:
    """What both have in common."""

    def query(self, asset: Names = ALL, sensor: Names = ALL, **asked: Any) -> pa.Table:  # noqa: ANN401
        """All rows as one table."""
        rows: Rows = self.rows(asset, sensor, **asked)  # type: ignore[attr-defined]  # both have it
        return rows.table()


class _Directory(_Base):
    """Reads the files itself, without a limit."""

    def __init__(self, layout: Layout, parameters: Parameters | None, files: ColdFiles) -> None:
        self._clock = SystemClock()
        self._queries = Queries(layout, self._clock, Limits(0, 0), parameters, files)

    def assets(self) -> list[str]:
        """The assets something is stored of."""
        with self._queries.look() as now:
            return list(now.directory.assets())

    def latest(self, asset: Names = ALL, sensor: Names = ALL) -> list[dict[str, Any]]:
        """The newest reading of each sensor."""
        with self._queries.look() as now:
            series = now.directory.select(_names(asset), _names(sensor))
            found = [now.tails.last(one) for one in series]
            if now.warnings.lacking:
                raise Damaged(now.warnings.texts[-1])
        moment = self._clock.now()
        return [_record(one, moment) for one in found if one]

    def rows(
        self,
        asset: Names = ALL,
        sensor: Names = ALL,
        *,
        start: str = "-1h",
        end: str = "now",
        resolution: Asked = "auto",
        max_points: int | None = None,
        tz: str = "UTC",
        addresses: bool = False,
        fields: Sequence[str] = (),
    ) -> Rows:
        """Readings or windows, as they are read."""
        zone, now = read_zone(tz), self._clock.now()
        interval = Interval(_instant("start", start, now, zone), _instant("end", end, now, zone))
        if interval.end <= interval.start:
            raise Usage(
                f"the end, {as_text(interval.end)}, is not after the start, {as_text(interval.start)}",
                hint="give a later end, or an earlier start",
            )
        question = Question(
            _names(asset), _names(sensor), interval, resolution, max_points, zone, addresses, tuple(fields)
        )
        answer = self._queries.answer(question)
        answer.begin()
        return Rows(answer.schema, answer.tables, answer.meta)


class _Store(_Directory):
    """Reads a cold store. What it knows and fetches of it is in a folder that goes with it."""

    def __init__(self, url: str, parameters: Parameters | None) -> None:
        folder = Path(mkdtemp(prefix="sensor-storage-"))
        weakref.finalize(self, rmtree, folder, ignore_errors=True)
        layout = Layout(folder / "raw")
        store = open_url(url, os.environ, layout, may_be_new=False)
        self._warnings = learn(layout, store, SystemClock().now())
        super().__init__(layout, parameters, _cold_files(layout, store))

    def rows(self, asset: Names = ALL, sensor: Names = ALL, **asked: Any) -> Rows:  # noqa: ANN401 - as above
        """Readings or windows, as they are read; damaged blobs are among the warnings."""
        found = super().rows(asset, sensor, **asked)
        found.meta["warnings"][:0] = self._warnings
        return found


class _Service(_Base):
    """Asks the API."""

    def __init__(self, address: str) -> None:
        self._address = address

    def assets(self) -> list[str]:
        """The assets something is stored of."""
        found: list[str] = []
        after: str | None = None
        while True:
            page = self._json("/assets", {"limit": "10000"} | ({"after": after} if after else {}))
            found += page["assets"]
            after = page.get("next")
            if after is None:
                return found

    def latest(self, asset: Names = ALL, sensor: Names = ALL) -> list[dict[str, Any]]:
        """The newest reading of each sensor."""
        asked = {"asset": _names(asset), "sensor": _names(sensor), "limit": 10_000}
        found: list[dict[str, Any]] = self._json("/latest", asked)["readings"]
        return found

    def rows(
        self,
        asset: Names = ALL,
        sensor: Names = ALL,
        *,
        start: str = "-1h",
        end: str = "now",
        resolution: Asked = "auto",
        max_points: int | None = None,
        tz: str = "UTC",
        addresses: bool = False,
        fields: Sequence[str] = (),
    ) -> Rows:
        """Readings or windows, as they arrive."""
        asked: dict[str, Any] = {
            "asset": _names(asset),
            "sensor": _names(sensor),
            "start": start,
            "end": end,
            "resolution": resolution,
            "tz": tz,
            "addresses": str(addresses).lower(),
            "fields": tuple(fields),
            "format": "arrow",
        }
        if max_points is not None:
            asked["max_points"] = max_points
        reader = pa.ipc.open_stream(self._open("/query", asked))
        meta = json.loads((reader.schema.metadata or {}).get(META_KEY.encode(), b"{}"))
        return Rows(reader.schema.remove_metadata(), (pa.Table.from_batches([one]) for one in reader), meta)

    def _json(self, path: str, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - JSON
        with closing(self._open(path, asked)) as answer:
            return json.load(answer)

    def _open(self, path: str, asked: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a response
        address = f"{self._address}{quote(path)}?{urlencode(asked, doseq=True)}"
        try:
            request = Request(address, headers=authorization())  # noqa: S310 - http or https by `connect`
            return urlopen(request, timeout=_TIMEOUT_SECONDS)  # noqa: S310 - as above
        except HTTPError as error:
            with error:
                raise _told(error.code, error.read()) from error
        except (URLError, TimeoutError, OSError) as error:
            why = getattr(error, "reason", error)
            raise Transient(
                f"ask {self._address}: {why}",
                hint="is the service running there? see SERVICE_HOST, SERVICE_PORT",
            ) from error


def authorization() -> dict[str, str]:
    """The header that shows the key in SENSOR_STORAGE_API_KEY, if there is one."""
    key = os.environ.get(KEY_VARIABLE, "").strip()
    return {"authorization": f"Bearer {key}"} if key else {}


def _told(status: int, body: bytes) -> SensorStorageError:
    """The error a problem's details tell of."""
    try:
        problem = json.loads(body)
        detail, hint = str(problem["detail"]), str(problem.get("hint", ""))
    except (ValueError, KeyError, TypeError):
        detail, hint = f"the service answered {status}", "is it the Sensor Data Storage Service?"
    if status == HTTPStatus.NOT_FOUND:
        return NothingStored(detail, hint=hint)
    if status >= HTTPStatus.INTERNAL_SERVER_ERROR:
        return Transient(detail, hint=hint)
    return Usage(detail, hint=hint)


def _instant(name: str, text: str, now: float, zone: tzinfo) -> int:
    try:
        return read_instant(text, now, zone)
    except Usage as error:
        raise Usage(f"{name}: {error.message}", hint=error.hint) from error


def _names(given: Names) -> tuple[str, ...]:
    return (given,) if isinstance(given, str) else tuple(given)


def _record(one: LastReading, now: float) -> dict[str, Any]:
    return {
        "asset_id": one.series.asset,
        "sensor_name": one.series.sensor,
        "timestamp": as_text(one.timestamp),
        "age_seconds": round(now - one.timestamp / 1e6, 3),
        "value": one.value,
        "text": one.text,
        "unit": one.unit,
        "quality": one.quality,
    }
