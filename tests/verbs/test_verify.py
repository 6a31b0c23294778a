"""What `verify` says on the command line."""

import pytest

from sensor_storage.clock import SystemClock
from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.status import write_status
from support.command import Run
from support.samples import dead_letter, keep_dead_letters, stage_readings
from support.statuses import ingest_status
from support.trees import NOW, compactor


def test_quiet_leaves_the_answer(run: Run, layout: Layout) -> None:
    layout.root.mkdir()
    done = run("verify", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("No loss, no duplicate.")


@pytest.mark.parametrize("hurt", ["staging", "ledger"])
def test_what_the_ledger_does_not_answer_for_is_told_with_the_kind_of_file_that_is_hurt(
    run: Run, layout: Layout, hurt: str
) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    stage_readings(layout, [Series("a", "b")] * 2, first_offset=0)
    if hurt == "ledger":
        compactor(layout).run_once(NOW, NOW, flush=True)
        (path,) = layout.ledger_files()
    else:
        ((_, path),) = layout.staged_files()
    stage_readings(layout, [Series("a", "b")] * 2, first_offset=2, number=1)
    path.write_bytes(b"PAR1" + path.read_bytes()[5:])
    findings = [line for line in run("verify", "--json").lines() if line.get("finding") == "unanswered"]
    assert findings
    for one in findings:
        assert ("a damaged staged file" in one["hint"]) == (hurt == "staging")
        assert ("a file of the ledger" in one["hint"]) == (hurt == "ledger")
        assert "verify --repair" in one["hint"]


@pytest.fixture
def nowhere(unused_port: int, monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of a broker that does not answer, which is set."""
    address = f"127.0.0.1:{unused_port}"
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", address)
    return address


@pytest.mark.parametrize("option", ["--repair", "--against-kafka"])
def test_a_broker_that_does_not_answer_is_named_before_anything_is_read_or_moved(
    run: Run, layout: Layout, nowhere: str, option: str
) -> None:
    stage_readings(layout, [Series("a", "b")])
    (_, path), *_ = layout.staged_files()
    path.write_bytes(b"PAR1" + path.read_bytes()[5:])
    before = sorted(layout.root.rglob("*"))
    done = run("verify", option)
    assert (done.code, done.out) == (4, "")
    assert f"reach Kafka at {nowhere}: " in done.err
    assert "KAFKA_BOOTSTRAP_SERVERS" in done.err
    assert sorted(layout.root.rglob("*")) == before


def test_where_the_service_reads_from_another_broker_the_hint_says_so(
    run: Run, layout: Layout, nowhere: str
) -> None:
    stage_readings(layout, [Series("a", "b")])
    now = SystemClock().now()
    write_status(layout, ingest_status(time=now, bootstrap_servers="kafka-1:9092"))
    done = run("verify", "--repair")
    assert done.code == 4
    assert f"reach Kafka at {nowhere}: " in done.err
    assert "the service of this directory reads from kafka-1:9092: set KAFKA_BOOTSTRAP_SERVERS" in done.err
