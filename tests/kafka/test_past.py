"""`backfill --from-kafka`: what was never consumed comes in exactly once, what is stored changes nothing."""

import json
import time
from pathlib import Path

import pytest
from confluent_kafka import Producer

from sensor_storage import cli
from sensor_storage.config import load
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.errors import Usage
from sensor_storage.kafka.past import Range, parse_range, plan_past
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.readings import union
from sensor_storage.storage.verify import verify
from sensor_storage.verbs.backfill_kafka import _limit
from support.command import Done, Run
from support.kafka_io import create_topic, produce
from support.member import member
from support.service import running
from support.trees import compactor, stored_rows

NOW = 1_800_000_000.0


@pytest.fixture
def layout(tmp_path: Path) -> Layout:
    return Layout(tmp_path / "data" / "raw")


@pytest.fixture
def run(
    tmp_path: Path,
    broker: EmbeddedBroker,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> Run:
    """Runs a verb on the directory, with the settings of its service."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", broker.bootstrap_servers)
    monkeypatch.setenv("KAFKA_TOPIC_PATTERN", f"^{topic_prefix}.*")
    monkeypatch.setenv("KAFKA_CONSUMER_GROUP", topic_prefix)

    def call(*arguments: str) -> Done:
        code = cli.run([*arguments, "--data", str(tmp_path / "data")])
        told = capsys.readouterr()
        return Done(code, told.out, told.err)

    return call


def _value(number: int) -> str:
    return json.dumps({"asset_id": "p", "timestamp": 1_704_067_200 + number * 60, "a": number, "b": "x"})


def _fill(broker: EmbeddedBroker, topic: str, start: int, count: int) -> None:
    """So many messages of two readings; with every tenth comes one that is none, and a tombstone."""
    for number in range(start, start + count, 10):
        values = [*map(_value, range(number, min(number + 10, start + count))), "{", None]
        produce(broker.bootstrap_servers, topic, values)


def _consume_from_here(broker: EmbeddedBroker, layout: Layout, topic: str, count: int) -> None:
    """A service that begins with what comes from now on."""
    with member(layout, broker.bootstrap_servers, topic, group=topic, reset="latest") as one:
        one.until(lambda: bool(one.ingest.positions.positions()), "it is assigned")
        before = one.messages()
        _fill(broker, topic, 1000, count)
        one.until(lambda: one.messages() - before == count // 10 * 12, "the new ones are read")
        one.ingest.finish()


def _offsets(layout: Layout) -> list[int]:
    paths = [*layout.hour_files(), *(path for _, path in layout.staged_files())]
    whole = union([CheckedFile(path).readings() for path in paths])
    return sorted({*whole.offset.tolist()})


def _files(layout: Layout) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in layout.raw.rglob("*.parquet")}


def _ledger(run: Run, layout: Layout) -> tuple[int, int, int]:
    report = verify(layout, full=True)
    assert report.clean, report.findings
    done = run("verify", "--against-kafka", "--json")
    assert done.code == 0, done.out
    (part,) = report.partitions
    assert not part.holes
    return part.stored, part.readings, part.dead_letters


def test_what_was_there_before_the_group_came_is_stored_exactly_once(
    broker: EmbeddedBroker, run: Run, layout: Layout, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    _fill(broker, topic_prefix, 0, 50)
    _consume_from_here(broker, layout, topic_prefix, 20)
    assert len(stored_rows(layout)) == 40
    done = run("backfill", "--from-kafka", topic_prefix, "--json")
    assert done.code == 0, done.err
    summary = done.lines()[-1]
    assert (summary["messages"], summary["readings"]) == (60, 100)
    assert (summary["dead_letters"], summary["empty"]) == (5, 5)
    assert len(stored_rows(layout)) == 140
    assert _ledger(run, layout) == (70, 140, 7)
    before, letters = _files(layout), layout.dead_letter_files()
    again = run("backfill", "--from-kafka", topic_prefix, "--json")
    assert again.lines()[-1]["messages"] == 0
    assert _files(layout) == before
    assert layout.dead_letter_files() == letters
    assert layout.staged_files() == []


def test_a_range_already_stored_changes_nothing_even_when_it_would_be_read_otherwise_today(
    broker: EmbeddedBroker,
    run: Run,
    layout: Layout,
    topic_prefix: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    _fill(broker, topic_prefix, 0, 30)
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as one:
        one.until(lambda: one.messages() == 36, "all is read")
        one.ingest.finish()
    compactor(layout).run_once(NOW, NOW, flush=True)
    before = _files(layout)
    monkeypatch.setenv("FIELD_ALIASES", "value=a")
    done = run("backfill", "--from-kafka", f"{topic_prefix}/0@5:25", "--json")
    assert (done.code, done.lines()[-1]["messages"]) == (0, 0)
    assert _files(layout) == before


def test_offsets_and_times_bound_what_comes(
    broker: EmbeddedBroker, run: Run, layout: Layout, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix, 2)
    producer = Producer({"bootstrap.servers": broker.bootstrap_servers})
    start = int(time.time()) - 1000
    for number in range(100):
        producer.produce(topic_prefix, _value(number), partition=1, timestamp=(start + number) * 1000)
    assert producer.flush(10) == 0
    when = [time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(start + seconds)) for seconds in (20, 30)]
    some = run("backfill", "--from-kafka", topic_prefix, "--from", when[0], "--to", when[1], "--json")
    assert some.lines()[-1]["messages"] == 10
    assert _offsets(layout) == list(range(20, 30))
    further = run("backfill", "--from-kafka", f"{topic_prefix}/1@25:40", "--json")
    assert further.lines()[-1]["messages"] == 10
    assert _offsets(layout) == list(range(20, 40))
    assert run("backfill", "--from-kafka", f"{topic_prefix}/0", "--json").lines()[-1]["messages"] == 0
    rest = run("backfill", "--from-kafka", f"{topic_prefix}/1@30:", "--json")
    assert rest.lines()[-1]["messages"] == 60
    assert verify(layout, full=True).clean


def test_a_service_that_comes_after_it_passes_over_what_came(
    broker: EmbeddedBroker, run: Run, layout: Layout, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    _fill(broker, topic_prefix, 0, 50)
    assert run("backfill", "--from-kafka", f"{topic_prefix}/0@12:36", "-q").code == 0
    assert len(stored_rows(layout)) == 40
    with member(layout, broker.bootstrap_servers, topic_prefix, group=topic_prefix) as one:
        one.until(lambda: one.messages() == 36, "the rest is read")
        one.ingest.finish()
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert len(stored_rows(layout)) == 100
    assert _ledger(run, layout) == (50, 100, 5)


def test_beside_a_service_it_leaves_to_it_what_it_has_not_come_to(
    broker: EmbeddedBroker, run: Run, layout: Layout, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    _fill(broker, topic_prefix, 0, 50)
    _consume_from_here(broker, layout, topic_prefix, 20)
    with running(layout.root, broker.bootstrap_servers, topic_prefix) as service:
        produce(broker.bootstrap_servers, topic_prefix, map(_value, range(2000, 2500)))
        done = run("backfill", "--from-kafka", topic_prefix, "--json")
        assert done.code == 0, done.err
        assert done.lines()[-1]["messages"] == 60
        service.wait_for_messages(584)
        assert service.stop() == 0
    compactor(layout).run_once(NOW, NOW, flush=True)
    assert len(stored_rows(layout)) == 1140
    assert _ledger(run, layout) == (570, 1140, 7)


def test_a_topic_or_partition_that_is_not_there_is_told(
    run: Run, broker: EmbeddedBroker, topic_prefix: str
) -> None:
    create_topic(broker.bootstrap_servers, topic_prefix)
    for name in (f"{topic_prefix}-none", f"{topic_prefix}/7"):
        done = run("backfill", "--from-kafka", name)
        assert done.code == 2
        assert "not there" in done.err


def test_files_and_ranges_do_not_mix(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "old.csv"
    path.write_text("asset_id,sensor_name,timestamp,value\n")
    for words in (
        [],
        [str(path), "--from-kafka", "t"],
        ["--from-kafka", "t", "--replace-overlap", "kafka"],
        [str(path), "--from", "2024-01-01"],
        ["--from-kafka", "t/1@7"],
    ):
        assert run("backfill", *words).code == 2


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a.b_c-1", Range("a.b_c-1")),
        ("a/3", Range("a", 3)),
        ("a/3@1:2", Range("a", 3, 1, 2)),
        ("a/3@:2", Range("a", 3, None, 2)),
        ("a/0@1:", Range("a", 0, 1, None)),
    ],
)
def test_a_range_is_read_as_it_is_written(text: str, expected: Range) -> None:
    assert parse_range(text) == expected


@pytest.mark.parametrize("text", ["", "a/", "a/b", "a@1:2", "a/1@1", "a/1@1:2:3", "a b"])
def test_what_is_no_range_is_refused(text: str) -> None:
    with pytest.raises(Usage):
        parse_range(text)


def test_only_what_is_asked_for_there_not_the_services_and_not_answered_for_is_read() -> None:
    assert plan_past((0, 100), (0, 100), None, []) == [(0, 100)]
    assert plan_past((0, 100), (20, 90), None, []) == [(20, 90)]
    assert plan_past((0, 100), (0, 100), 50, [(10, 20), (30, 60)]) == [(0, 10), (20, 30)]
    assert plan_past((0, 100), (0, 100), 0, []) == []
    assert plan_past((0, 100), (120, 200), None, []) == []


def test_what_the_group_reads_or_will_read_is_left_to_it() -> None:
    settings = load({"KAFKA_TOPIC_PATTERN": "^ours-.*"})
    ours, other = ("ours-a", 0), ("theirs", 0)
    for mine in (True, False):
        assert _limit(settings, ours, (70, "id"), "id", mine=mine) == 70
        assert _limit(settings, ours, (70, ""), "id", mine=mine) == 70
        assert _limit(settings, other, None, "id", mine=mine) is None
    assert _limit(settings, ours, None, "id", mine=False) == 0  # a service runs, and is about to begin
    assert _limit(settings, ours, (70, "before"), "id", mine=False) == 0  # it begins the new topic anew
    assert _limit(settings, ours, None, "id", mine=True) is None
