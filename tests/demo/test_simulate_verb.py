"""The command line of the simulated plant: what it refuses, and where a backlog ends."""

import json

import pytest
from click.testing import CliRunner

from sensor_storage.demo.messages import Form, MessageSource
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Pace, Report
from sensor_storage.errors import Usage
from sensor_storage.verbs import simulate as verb

NOW = 1_704_067_200 * SECOND


def pace(*arguments: str) -> Pace:
    """What these arguments mean at the moment NOW."""
    options = verb.command.make_context("simulate", list(arguments)).params
    return verb._pace(options, NOW)


def test_without_arguments_it_runs_live_until_stopped() -> None:
    assert pace() == Pace(NOW, None, None, 1.0)


def test_a_backlog_of_a_duration_ends_before_now() -> None:
    found = pace("--rate", "max", "--duration", "600")
    assert found.speed is None
    assert found.end_us is not None
    assert found.end_us - found.start_us == 600 * SECOND
    assert found.end_us <= NOW


@pytest.mark.parametrize("form", ["narrow", "wide", "batch", "mixed"])
def test_a_backlog_of_messages_ends_shortly_before_now(form: Form) -> None:
    found = pace("--rate", "max", "--messages", "200000", "--form", form)
    source = MessageSource(Plant(), form=form)
    in_the_last_minute = len(source.window(NOW - 60 * SECOND, NOW))
    made = in_the_last_minute * (NOW - found.start_us) // (60 * SECOND)
    assert 200_000 <= made <= 300_000


def test_a_start_is_taken_as_utc_unless_it_says_otherwise() -> None:
    assert pace("--start", "2024-01-01T00:00:00").start_us == NOW
    assert pace("--start", "2024-01-01T01:00:00+01:00").start_us == NOW


@pytest.mark.parametrize(
    "arguments",
    [("--rate", "max"), ("--speed", "60"), ("--start", "2024-01-02T00:00:00Z"), ("--faults", "--late", "1")],
)
def test_what_the_service_would_reject_is_refused_at_once(arguments: tuple[str, ...]) -> None:
    options = verb.command.make_context("simulate", list(arguments)).params

    def refused() -> object:
        return verb._pace(options, NOW), verb._source(options)

    with pytest.raises(Usage):
        refused()


@pytest.mark.parametrize(
    "arguments", [["--rate", "fast"], ["--rate", "0"], ["--start", "noon"], ["--late", "2"]]
)
def test_a_wrong_argument_is_a_usage_error(arguments: list[str]) -> None:
    assert CliRunner().invoke(verb.command, arguments).exit_code == 2


def test_the_rate_is_shared_by_all_sensors() -> None:
    options = verb.command.make_context(
        "simulate", ["--assets", "10", "--sensors", "5", "--rate", "100"]
    ).params
    assert verb._source(options).interval_us == SECOND // 2


def test_help_shows_an_example() -> None:
    assert (
        "sensor-storage simulate --form mixed --faults" in CliRunner().invoke(verb.command, ["--help"]).output
    )


def test_the_summary_is_one_line_of_json(capsys: pytest.CaptureFixture[str]) -> None:
    report = Report(messages_acknowledged=3, partitions={("sensor-data-a", 1): (3, 9)})
    verb._show(report, 2.0, NOW, NOW + SECOND, as_json=True)
    (line,) = capsys.readouterr().out.splitlines()
    summary = json.loads(line)
    assert summary["type"] == "summary"
    place = {"topic": "sensor-data-a", "partition": 1, "messages": 3, "max_offset": 9}
    assert summary["partitions"] == [place]
    assert summary["event_end"] == "2024-01-01T00:00:01Z"
