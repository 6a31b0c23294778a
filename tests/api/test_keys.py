"""API keys: every address but the open ones asks for one, and no answer or log tells any."""

import hashlib
import json
import re
from functools import partial
from pathlib import Path

import pytest
from fastapi import FastAPI

from sensor_storage.api.app import create_app
from sensor_storage.api.keys import KeyRing, line_of, new_key, parse_keys
from sensor_storage.cli import run as run_cli
from sensor_storage.clock import ManualClock
from sensor_storage.errors import Usage
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from support.sending import Send, sender
from support.statuses import tell_all_well
from support.trees import readings_of, stage
from support.workers import FLUSHED, maintain_that_answers

OPEN = {"/health", "/health/live", "/health/ready", "/metrics", "/"}
READER, ADMIN = new_key(), new_key()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "api-keys"
    path.write_text(f"# two\n{line_of('grafana', 'read', READER)}\n\n{line_of('operator', 'admin', ADMIN)}\n")
    return path


@pytest.fixture
def guarded(layout: Layout, clock: ManualClock, file: Path) -> FastAPI:
    """As it listens where everybody can reach it."""
    tell_all_well(layout)
    return create_app(layout, clock, host="0.0.0.0", keys=KeyRing(clock, path=file))  # noqa: S104 - not bound


def bearer(key: str) -> dict[str, dict[str, str]]:
    return {"headers": {"authorization": f"Bearer {key}"}}


def test_every_address_asks_for_a_key_but_health_metrics_and_documentation(guarded: FastAPI) -> None:
    send = sender(guarded)
    for path, methods in guarded.openapi()["paths"].items():
        for method in methods:
            answer = send(method.upper(), re.sub(r"\{\w+\}", "1", path))
            assert (answer.status_code == 401) == (path not in OPEN), (method, path)
            if answer.status_code == 401:
                assert answer.headers["www-authenticate"] == "Bearer"
                assert answer.json()["hint"]
    for path in ("/docs", "/docs/start.js", "/openapi.json"):
        assert send("GET", path).status_code == 200


@pytest.mark.parametrize("header", ["authorization", "x-api-key"])
def test_a_key_lets_in_by_either_header(guarded: FastAPI, header: str) -> None:
    value = f"bearer {READER}" if header == "authorization" else READER
    assert sender(guarded)("GET", "/assets", headers={header: value}).status_code == 200


@pytest.mark.parametrize(
    "wrong",
    ["", " ", READER[:-1], READER + "x", "grafana", "\u00e4", hashlib.sha256(READER.encode()).hexdigest()],
    ids=[
        "none",
        "blank",
        "cut-short",
        "longer",
        "its-name",
        "not-ascii",
        "its-hash",
    ],  # a key is new in each run
)
def test_no_other_key_lets_in_nor_is_it_told(guarded: FastAPI, wrong: str) -> None:
    answer = sender(guarded)("GET", "/assets", headers={"x-api-key": wrong.encode("latin-1")})
    assert answer.status_code == 401
    assert len(wrong) < 3 or wrong not in answer.text


def test_a_key_in_the_address_is_no_key(guarded: FastAPI) -> None:
    assert sender(guarded)("GET", f"/assets?key={READER}&api_key={READER}").status_code == 401


def test_a_reader_changes_nothing_and_an_admin_may(guarded: FastAPI, layout: Layout) -> None:
    send = sender(guarded)
    refused = send("POST", "/storage/flush", **bearer(READER))
    assert (refused.status_code, refused.json()["detail"]) == (403, "the key grafana has the scope read")
    with maintain_that_answers(layout, lambda _: FLUSHED):
        assert send("POST", "/storage/flush", **bearer(ADMIN)).json() == FLUSHED


def test_without_keys_reads_are_open_and_changes_are_not_where_others_can_reach(
    layout: Layout, clock: ManualClock
) -> None:
    send = sender(create_app(layout, clock, host="0.0.0.0"))  # noqa: S104 - not bound
    assert send("GET", "/assets").status_code == 200
    assert send("POST", "/storage/flush").status_code == 403


def test_an_empty_file_lets_nobody_in(layout: Layout, clock: ManualClock, tmp_path: Path) -> None:
    (tmp_path / "none").write_text("# nobody\n")
    send = sender(create_app(layout, clock, keys=KeyRing(clock, path=tmp_path / "none")))
    assert send("GET", "/assets").status_code == 401


# ── the file ──


def test_a_key_taken_out_of_the_file_lets_in_no_more_and_a_new_one_does(
    guarded: FastAPI, file: Path, clock: ManualClock
) -> None:
    send, newer = sender(guarded), new_key()
    file.write_text(line_of("grafana-2", "read", newer))
    assert send("GET", "/assets", **bearer(READER)).status_code == 200, "it looks every second"
    clock.advance(1)
    assert send("GET", "/assets", **bearer(READER)).status_code == 401
    assert send("GET", "/assets", **bearer(newer)).status_code == 200


@pytest.mark.parametrize("damage", ["half a line", "grafana read sha256:12", None])
def test_a_file_that_breaks_while_it_runs_changes_nobodys_access(
    guarded: FastAPI, file: Path, clock: ManualClock, damage: str | None
) -> None:
    if damage is None:
        file.unlink()
    else:
        file.write_text(damage)
    clock.advance(1)
    assert sender(guarded)("GET", "/assets", **bearer(READER)).status_code == 200
    assert sender(guarded)("GET", "/assets", **bearer("x")).status_code == 401


def test_a_file_that_is_wrong_at_the_start_is_an_error_that_names_the_line_and_never_its_text(
    tmp_path: Path, clock: ManualClock
) -> None:
    (tmp_path / "keys").write_text(f"# one\nsecret-canary {READER}\n")
    with pytest.raises(Usage) as caught:
        KeyRing(clock, path=tmp_path / "keys")
    assert "line 2" in caught.value.message
    assert "canary" not in caught.value.message
    assert READER not in caught.value.message


def test_keys_in_the_variable_are_separated_by_semicolons(clock: ManualClock) -> None:
    ring = KeyRing(clock, f"{line_of('a', 'read', READER)}; {line_of('b', 'admin', ADMIN)}")
    found = ring.find(ADMIN)
    assert found is not None
    assert (found.name, found.scope) == ("b", "admin")
    assert ring.find("") is None


def test_every_key_is_compared_whichever_is_found(
    clock: ManualClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    compared: list[bytes] = []

    def compare(one: bytes, other: bytes) -> bool:
        compared.append(one)
        return one == other

    lines = ";".join(
        line_of(f"k{number}", "read", READER if number == 0 else new_key()) for number in range(5)
    )
    ring = KeyRing(clock, lines)
    monkeypatch.setattr("sensor_storage.api.keys.hmac.compare_digest", compare)
    assert ring.find(READER) is not None
    assert len(compared) == 5
    ring.find("x")
    assert len(compared) == 10


def test_the_verb_makes_a_key_and_the_line_that_lets_it_in(capsys: pytest.CaptureFixture[str]) -> None:
    assert run_cli(["config", "key", "grafana", "--scope", "admin", "-q"]) == 0
    assert run_cli(["config", "key", "grafana", "--scope", "admin"]) == 0
    told = capsys.readouterr().out
    key, line = (re.search(rf"^{word} +(.*)$", told, re.MULTILINE) for word in ("key", "line"))
    assert key is not None
    assert line is not None
    (kept,) = parse_keys(line[1])
    assert (kept.name, kept.scope, kept.digest) == (
        "grafana",
        "admin",
        hashlib.sha256(key[1].encode()).digest(),
    )
    assert key[1] not in line[1]
    assert run_cli(["config", "key", "two words"]) == 2


def test_the_documentation_knows_the_keys(send: Send) -> None:
    paths = send("GET", "/openapi.json").json()
    assert paths["components"]["securitySchemes"]["HTTPBearer"]["scheme"] == "bearer"
    assert paths["paths"]["/query"]["get"]["security"] == [{"HTTPBearer": []}]
    assert "security" not in paths["paths"]["/health/live"]["get"]


# ── keys that are limited to assets ──


def limited(layout: Layout, clock: ManualClock, *assets: str) -> Send:
    """Sends with a key for these assets alone, over a tree of three."""
    for number, asset in enumerate(("press-1", "press-2", "pump 1,a")):
        offsets = range(number * 10, number * 10 + 10)
        readings = readings_of(offsets, series=[Series(asset, "temperature")])
        stage(layout, readings, number=number, start=offsets.start, stop=offsets.stop)
    line = line_of("shift", "read", READER, assets)
    send = sender(create_app(layout, clock, keys=KeyRing(clock, line)))
    return partial(send, headers={"authorization": f"Bearer {READER}"})


def test_a_key_for_some_assets_is_told_of_these_alone_wherever_it_asks(
    layout: Layout, clock: ManualClock
) -> None:
    send = limited(layout, clock, "press-*")
    wide = {"start": "2000-01-01T00:00:00Z", "end": "2100-01-01T00:00:00Z", "resolution": "raw"}
    assert send("GET", "/assets").json()["assets"] == ["press-1", "press-2"]
    assert {one["asset_id"] for one in send("GET", "/latest").json()["readings"]} == {"press-1", "press-2"}
    rows = send("GET", "/query", params={**wide, "format": "csv"}).text
    assert "press-1" in rows
    assert "pump" not in rows
    assert send("GET", "/query", params={**wide, "asset": "pump 1,a"}).status_code == 404
    assert send("GET", "/assets/pump 1,a/sensors").status_code == 404
    assert send("GET", "/coverage?asset=pump 1,a&start=2023-12-20&end=2024-01-10").status_code == 404
    for path in ('series?match[]={asset_id=~".%2B"}', "label/asset_id/values"):
        found = send("GET", f"/prometheus/api/v1/{path}")
        assert found.status_code == 200
        assert "press-1" in found.text
        assert "pump" not in found.text


def test_a_key_for_some_assets_is_refused_wherever_an_address_tells_of_all(
    layout: Layout, clock: ManualClock
) -> None:
    send = limited(layout, clock, "press-1")
    app = create_app(layout, clock)
    refused = set()
    for path, methods in app.openapi()["paths"].items():
        if "get" in methods and path not in OPEN:
            answer = send("GET", re.sub(r"\{\w+\}", "1", path))
            if answer.status_code == 403:
                assert answer.json()["type"].endswith(":assets")
                refused.add(path)
    assert {"/storage/stats", "/dead-letters", "/where", "/azure/files", "/files"} <= refused
    assert refused.isdisjoint({"/query", "/latest", "/assets"})
    assert send("POST", "/storage/flush").status_code == 403


def test_names_with_commas_and_spaces_can_be_allowed_and_a_pattern_means_no_more_than_its_stars(
    layout: Layout, clock: ManualClock
) -> None:
    assert limited(layout, clock, "pump 1,a")("GET", "/assets").json()["assets"] == ["pump 1,a"]
    assert limited(layout, clock, "press.1", "[p]*", "ress-1")("GET", "/assets").json()["assets"] == []


def test_who_asks_next_without_limits_is_told_of_all(layout: Layout, clock: ManualClock) -> None:
    limited(layout, clock)
    lines = f"{line_of('a', 'read', READER, ['press-1'])};{line_of('b', 'read', ADMIN)}"
    send = sender(create_app(layout, clock, keys=KeyRing(clock, lines)))
    counts = [len(send("GET", "/assets", **bearer(key)).json()["assets"]) for key in (READER, ADMIN, READER)]
    assert counts == [1, 3, 1]


def test_only_readers_can_be_limited(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(ValueError, match="only a key of scope read"):
        parse_keys(line_of("a", "admin", ADMIN, ["press-1"]))
    assert run_cli(["config", "key", "shift", "--asset", "press-*", "--asset", "a,b", "--json"]) == 0
    (kept,) = parse_keys(json.loads(capsys.readouterr().out.splitlines()[-1])["line"])
    assert kept.assets == ("press-*", "a,b")
    assert run_cli(["config", "key", "shift", "--scope", "admin", "--asset", "x"]) == 2
