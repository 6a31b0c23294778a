"""What `verify` says on the command line."""

import pytest

from sensor_storage.model import Series
from sensor_storage.storage.layout import Layout
from support.command import Run
from support.samples import stage_readings


def test_quiet_leaves_the_answer(run: Run, layout: Layout) -> None:
    layout.root.mkdir()
    done = run("verify", "-q")
    assert (done.code, done.err) == (0, "")
    assert done.out.splitlines()[-1].startswith("No loss, no duplicate.")


def test_a_broker_that_does_not_answer_ends_it_with_4_and_a_hint(
    run: Run, layout: Layout, unused_port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage_readings(layout, [Series("a", "b")])
    monkeypatch.setenv("KAFKA_BOOTSTRAP_SERVERS", f"127.0.0.1:{unused_port}")
    done = run("verify", "--against-kafka")
    assert done.code == 4
    assert "describe topic" in done.err
