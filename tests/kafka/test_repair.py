"""A flipped bit in any file, then `verify --repair`: whole again from Kafka, or the lost addresses are listed."""

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from confluent_kafka import TopicPartition
from confluent_kafka.admin import AdminClient

from sensor_storage import cli
from sensor_storage.cold.directory import DirectoryStore
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.kafka.holes import plan_holes
from sensor_storage.model import Source
from sensor_storage.storage.catalog import Catalog
from sensor_storage.storage.holdings import Window
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.ledger import LedgerEntry
from sensor_storage.storage.ownership import alone, own
from sensor_storage.storage.status import read_ingest, read_maintain
from sensor_storage.storage.verify import verify
from support.cold import blobs, directory, flip
from support.command import Done, Run
from support.kafka_io import create_topic, produce
from support.member import member
from support.service import running
from support.trees import Row, compactor, stored_rows

NOW = 1_800_000_000.0
KINDS: dict[str, Callable[[Layout], Path]] = {
    "segment": lambda layout: layout.staged_files()[0][1],
    "hour": lambda layout: layout.hour_files()[0],
    "ledger": lambda layout: layout.ledger_files()[0],
    "dead letters": lambda layout: layout.dead_letter_files()[0],
    "minutes": lambda layout: next(layout.aggregated.rglob("*_minute.parquet")),
    "days": lambda layout: next(layout.aggregated.rglob("*_day.parquet")),
    "catalog": lambda layout: layout.catalog,
}


def _values(start: int, count: int) -> list[bytes | str | None]:
    wide = [
        {"asset_id": "p", "timestamp": 1_704_067_200 + n * 400, "a": n, "b": "x"}
        for n in range(start, start + count)
    ]
    return [*map(json.dumps, wide), "{", None]


@pytest.fixture
def run(
    tmp_path: Path,
    broker: EmbeddedBroker,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a verb on the directory, with the settings of the service that filled it."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PATTERN", "^.*")
    monkeypatch.setenv("KAFKA_CONSUMER_GROUP", topic_prefix)

    def call(*arguments: str) -> Done:
        code = cli.run([*arguments, "--data", str(tmp_path / "data")])
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


@pytest.fixture
def layout(tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, run: Run) -> Layout:
    """Thirty messages in hour files and aggregates, ten more staged; a dead letter and a tombstone with each."""
    create_topic(broker.bootstrap_servers, topic_prefix)
    layout = Layout(tmp_path / "data" / "raw")
    produce(broker.bootstrap_servers, topic_prefix, _values(0, 30))
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as one:
        one.until(lambda: one.messages() == 32, "all is read")
        compactor(layout).run_once(NOW, NOW, flush=True)
        assert run("aggregate", "-q").code == 0
        produce(broker.bootstrap_servers, topic_prefix, _values(30, 10))
        one.until(lambda: one.messages() == 44, "the rest is read")
        one.ingest.finish()
    assert run("verify", "--full", "--against-kafka", "-q").code == 0
    return layout


def _flip(path: Path, where: float) -> bytes:
    sound = path.read_bytes()
    broken = bytearray(sound)
    broken[int(len(sound) * where) - 1] ^= 4
    path.write_bytes(broken)
    return bytes(broken)


def delete_records(broker: EmbeddedBroker, topic: str, before: int) -> None:
    """Kafka no longer has the offsets below this one."""
    admin = AdminClient({"bootstrap.servers": broker.bootstrap_servers})
    for future in admin.delete_records([TopicPartition(topic, 0, before)]).values():
        future.result(timeout=30)


def _set_aside(layout: Layout) -> list[Path]:
    return sorted(path for path in layout.damaged.rglob("*") if path.is_file())


@pytest.fixture
def cold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> DirectoryStore:
    """A folder as the cold store, which is set."""
    store = directory(tmp_path)
    monkeypatch.setenv("COLD_STORE_URL", store.url)
    return store


@pytest.mark.parametrize("kind", list(KINDS))
@pytest.mark.parametrize("where", [0.3, 1.0], ids=["in its middle", "in its end"])
def test_a_bit_flipped_in_any_file_is_made_whole_again_from_kafka(
    layout: Layout, run: Run, kind: str, where: float
) -> None:
    before: list[Row] = stored_rows(layout)
    path = KINDS[kind](layout)
    if kind == "catalog":
        where = 10 / len(path.read_bytes())  # within SQLite's header: most other bits it would not notice
    broken = _flip(path, where)
    assert run("verify", "--full", "-q").code == 1
    done = run("verify", "--repair", "--against-kafka", "--json")
    assert (done.code, done.lines()[-1].get("clean")) == (0, True), done.out + done.err
    assert stored_rows(layout) == before
    aside = _set_aside(layout)
    assert aside == [layout.damaged / path.relative_to(layout.root)]
    assert aside[0].read_bytes() == broken
    (repaired,) = (line for line in done.lines() if line.get("repair") == "stored")
    assert repaired["dead_letters"] == (kind == "dead letters")
    (summary,) = (line for line in done.lines() if line["type"] == "summary")
    assert (summary["messages"], summary["dead_letters"], summary["empty"]) == (40, 2, 2)
    again = run("verify", "--repair", "--json")
    assert again.code == 0
    assert [line["readings"] for line in again.lines() if line.get("repair") == "stored"] == [0]
    assert _set_aside(layout) == aside


@pytest.mark.parametrize("kind", ["segment", "hour", "ledger"])
def test_what_kafka_no_longer_has_is_listed(
    layout: Layout, run: Run, broker: EmbeddedBroker, topic_prefix: str, kind: str
) -> None:
    delete_records(broker, topic_prefix, 40)
    before = stored_rows(layout)
    path = KINDS[kind](layout)
    _flip(path, 0.5)
    done = run("verify", "--repair", "--json")
    assert done.code == 1
    lost = [line["where"] for line in done.lines() if line.get("repair") == "lost"]
    if kind == "hour":
        assert lost == [f"{topic_prefix}/0@0…31"]
        (missing,) = (line for line in done.lines() if line.get("finding") == "missing")
        assert f"{topic_prefix}/0@" in missing["where"]
        assert set(stored_rows(layout)) < set(before)
    elif kind == "ledger":
        assert lost == [f"{topic_prefix}/0@0…31"]
        assert stored_rows(layout) == before
        assert run("verify", "--full", "-q").code == 0  # the ledger says again what the files hold
    else:
        assert lost == [f"{topic_prefix}/0@32…39"]
        offsets = {row[1] for row in stored_rows(layout)}
        assert offsets == {*range(30), 40, 41}
    assert len(_set_aside(layout)) == 1


def test_what_is_wholly_stored_is_kept_and_no_loss_though_kafka_has_it_no_longer(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str, run: Run
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    layout = Layout(tmp_path / "data" / "raw")
    produce(broker.bootstrap_servers, topic_prefix, _values(0, 30)[:31])
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as one:
        one.until(lambda: one.messages() == 31, "all is read")
        one.ingest.finish()
    compactor(layout).run_once(NOW, NOW, flush=True)
    delete_records(broker, topic_prefix, 31)
    before = stored_rows(layout)
    _flip(KINDS["ledger"](layout), 0.5)
    done = run("verify", "--repair", "--json")
    assert (done.code, done.lines()[-1]["clean"]) == (0, True), done.out + done.err
    told = [
        (line["repair"], line["where"]) for line in done.lines() if line.get("repair") in {"lost", "kept"}
    ]
    assert told == [("kept", f"{topic_prefix}/0@0…30")]
    assert stored_rows(layout) == before
    again = run("verify", "--repair", "--json")
    assert [line for line in again.lines() if line.get("repair") in {"lost", "kept"}] == []


def test_a_segment_that_was_lost_is_read_again_though_the_group_is_past_it(layout: Layout, run: Run) -> None:
    before = stored_rows(layout)
    (_, path), *_ = layout.staged_files()
    path.unlink()
    assert run("verify", "--full", "-q").code == 0  # no file tells of it
    done = run("verify", "--repair", "--json")
    assert done.code == 0
    assert stored_rows(layout) == before
    assert verify(layout, full=True, mark=False).partitions[0].holes == []


def test_what_the_cold_store_has_is_not_lost_though_kafka_has_it_no_longer(
    *,
    layout: Layout,
    run: Run,
    broker: EmbeddedBroker,
    topic_prefix: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("COLD_STORE_URL", f"file://{tmp_path / 'cold'}")
    assert run("upload", "-q").code == 0
    before = stored_rows(layout)
    delete_records(broker, topic_prefix, 44)
    path = layout.hour_files()[0]
    _flip(path, 0.5)
    done = run("verify", "--repair", "--json")
    assert (done.code, done.lines()[-1]["clean"]) == (0, True), done.out + done.err
    assert done.lines()[-1]["cold_files"] == 1
    assert not path.exists()
    hour = ["--from", "2024-01-01", "--to", "2024-01-02"]
    assert run("restore", *hour, "-q").code == 0
    assert stored_rows(layout) == before


@pytest.mark.parametrize("gone", [False, True], ids=["damaged", "missing"])
@pytest.mark.parametrize("kept", [True, False], ids=["Kafka has it", "Kafka has it no longer"])
def test_a_lost_blob_is_named_and_what_kafka_has_of_it_and_of_everything_else_comes_back(
    *,
    layout: Layout,
    run: Run,
    broker: EmbeddedBroker,
    topic_prefix: str,
    cold: DirectoryStore,
    gone: bool,
    kept: bool,
) -> None:
    compactor(layout).run_once(NOW, NOW, flush=True)
    before = stored_rows(layout)
    assert run("upload", "-q").code == 0
    name, other, *_ = sorted(blobs(cold, "raw/"))
    with closing(Catalog(layout)) as catalog:
        catalog.mark_cold(
            [next(file.key for file, _ in catalog.files() if layout.relative(file.path) == name)]
        )
    (layout.root / name).unlink()
    cold.delete(name) if gone else flip(cold, name)
    if not kept:
        delete_records(broker, topic_prefix, 44)
    _flip(layout.root / other, 0.5)
    done = run("verify", "--repair", "--json")
    summary = done.lines()[-1]
    if kept:
        assert (done.code, summary["clean"]) == (0, True), done.out + done.err
        assert [line["where"] for line in done.lines() if line.get("repair") == "blob"] == [name]
        assert run("restore", "-q").code == 0
        assert stored_rows(layout) == before
    else:
        assert (done.code, summary["clean"]) == (1, False), done.out + done.err
        (finding,) = (line for line in done.lines() if line.get("finding") == "damaged")
        assert finding["where"] == name
        assert cold.url in finding["detail"]


def test_a_service_that_does_not_answer_is_left_alone(layout: Layout, run: Run) -> None:
    _flip(layout.hour_files()[0], 0.5)
    with own(layout):
        done = run("verify", "--repair")
    assert done.code == 5
    assert "restart it" in done.err
    assert _set_aside(layout) == []


def test_a_catalog_that_a_service_has_open_is_not_made_again_beside_it(layout: Layout, run: Run) -> None:
    _flip(layout.catalog, 10 / layout.catalog.stat().st_size)
    with own(layout):
        done = run("verify", "--repair")
    assert done.code == 1
    assert "stop the service" in done.err
    assert _set_aside(layout) == []


def test_one_repair_at_a_time(layout: Layout, run: Run) -> None:
    with alone(layout, "repair"):
        done = run("verify", "--repair")
    assert done.code == 5
    assert "wait until it is done" in done.err


def test_a_service_that_runs_is_asked_and_goes_on_reading(
    tmp_path: Path, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    produce(broker.bootstrap_servers, topic_prefix, _values(0, 30))
    settings = {"BUFFER_FLUSH_INTERVAL_SECONDS": "3600"}  # what is not flushed stays in its segments
    with running(tmp_path / "data", broker.bootstrap_servers, topic_prefix, **settings) as service:
        layout = service.layout
        service.wait_for_messages(32)
        assert service.run("aggregate", "-q").returncode == 0
        assert service.run("compact", "-q").returncode == 0
        assert service.run("aggregate", "-q").returncode == 0
        produce(broker.bootstrap_servers, topic_prefix, _values(30, 10))
        service.wait_for_messages(44)
        hurt = [KINDS[kind](layout) for kind in ("segment", "hour", "ledger", "dead letters", "minutes")]
        for path in hurt:
            _flip(path, 0.5)
        produce(broker.bootstrap_servers, topic_prefix, _values(40, 5))
        done = service.run("verify", "--repair", "--json")
        assert done.returncode == 0, done.stdout + done.stderr + service.log()
        assert _set_aside(layout) == sorted(layout.damaged / path.relative_to(layout.root) for path in hurt)
        produce(broker.bootstrap_servers, topic_prefix, _values(45, 5))
        service.wait_for_messages(58)
        assert service.run("compact", "-q").returncode == 0
        found = service.run("verify", "--full", "--against-kafka", "--json")
        assert found.returncode == 0, found.stdout + found.stderr
        summary = json.loads(found.stdout.splitlines()[-1])
        assert (summary["messages"], summary["dead_letters"], summary["empty"]) == (50, 4, 4)
        assert summary["readings"] == 100
        assert [one.bootstrap_servers for one in read_ingest(layout)] == [broker.bootstrap_servers]
        status = read_maintain(layout)
        assert status is not None
        assert status.received_messages == 58


SOURCE = Source("t", "id", 0, 0)


def test_holes_reach_from_what_is_known_to_what_was_consumed() -> None:
    entries = [
        LedgerEntry(SOURCE, 10, 20),
        LedgerEntry(SOURCE._replace(leader_epoch=1), 25, 30),
        LedgerEntry(SOURCE, 30, 35, fate="gap"),
    ]

    def holes(**given: object) -> list[tuple[int, int]]:
        known: dict[str, object] = {"bounds": {}, "committed": {}, "ids": {"t": "id"}, "from_start": None}
        found: list[Window] = plan_holes(entries, **{**known, **given})  # type: ignore[arg-type]
        return [(one.start, one.stop) for one in found]

    assert holes() == [(20, 25)]
    assert holes(committed={("t", 0): (40, "id")}) == [(20, 25), (35, 40)]
    assert holes(committed={("t", 0): (40, "older")}) == [(20, 25)]
    assert holes(bounds={("t", "id", 0): (5, 37)}) == [(5, 10), (20, 25), (35, 37)]
    assert holes(from_start=lambda _: (3, 100)) == [(3, 10), (20, 25)]
    assert holes(from_start=lambda _: (3, 100), ids={"t": "newer"}) == [(20, 25)]
