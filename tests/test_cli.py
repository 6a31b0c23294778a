"""The command line: quick help, errors as words and exit codes, valid JSON always."""

import io
import json
import os
import subprocess
import sys
import sysconfig
from collections.abc import Callable
from pathlib import Path

import click
import pytest

from sensor_storage import __version__, cli
from sensor_storage.config import Settings
from sensor_storage.errors import Halt, Owned, Transient, Usage
from sensor_storage.verbs.options import Output, output_options, settings_options

Body = Callable[[Output], int | None]
RunVerb = Callable[..., int]


@pytest.fixture(autouse=True)
def empty_directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def run_verb(monkeypatch: pytest.MonkeyPatch) -> RunVerb:
    """Run a verb `probe` whose body is given."""

    def run(body: Body, *arguments: str) -> int:
        @click.command("probe")
        @output_options
        def probe(output: Output) -> int | None:
            return body(output)

        monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: probe)
        return cli.run(["probe", *arguments])

    return run


def process(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "sensor_storage", *arguments],
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def test_help_is_quick_for_it_loads_no_verb_and_one_library() -> None:
    code = (
        "import json, sys; old = {*sys.modules}; from sensor_storage import cli; cli.run(['--help']);"
        "print(json.dumps({name: getattr(sys.modules[name], '__file__', None) for name in {*sys.modules} - old}))"
    )
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)  # noqa: S603
    assert "Verbs:" in found.stdout
    loaded: dict[str, str | None] = json.loads(found.stdout.splitlines()[-1])
    libraries = sysconfig.get_path("purelib")
    assert {name.split(".")[0] for name, file in loaded.items() if (file or "").startswith(libraries)} == {
        "click"
    }
    assert not any(name.startswith("sensor_storage.verbs.") for name in loaded)


def test_a_worker_that_reads_kafka_loads_little_for_its_partitions_wait() -> None:
    program = "import sys, sensor_storage.verbs.worker, sensor_storage.consuming; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)  # noqa: S603
    unneeded = {
        "fastapi",
        "uvicorn",
        "kafka",
        "prometheus_client",
        "rich",
        "fastavro",
        "google.protobuf",
        "obstore",
    }
    assert unneeded.isdisjoint(loaded.stdout.split())


def test_version() -> None:
    assert process("--version").stdout.split()[-1] == __version__


def test_every_verb_that_is_listed_can_be_loaded_and_explains_itself() -> None:
    context = click.Context(cli.group)
    listed = cli.group.list_commands(context)
    assert {"config", "simulate"} <= set(listed)
    for verb in listed:
        command = cli.group.get_command(context, verb)
        assert command is not None
        assert command.help


def test_a_verb_whose_module_is_missing_is_not_listed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(cli.VERBS, "future", ("sensor_storage.verbs.future:command", "Later."))
    assert "future" not in cli.group.list_commands(click.Context(cli.group))
    assert cli.run(["future"]) == 2


def test_a_mistyped_verb_is_answered_with_the_near_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.run(["confg"]) == 2
    assert "Did you mean 'config'?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (Usage("wrong port", hint="take another"), 2),
        (Transient("no broker", hint="start it"), 4),
        (Owned("busy", hint="stop it"), 5),
        (Halt("fsync", hint="look"), 1),
        (KeyError("x"), 1),
        (KeyboardInterrupt(), 130),
        (click.UsageError("so not"), 2),
        (click.ClickException("oh"), 1),
    ],
)
@pytest.mark.parametrize("as_json", [False, True])
def test_an_error_has_its_exit_code_and_exactly_one_line(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], error: BaseException, code: int, *, as_json: bool
) -> None:
    def body(output: Output) -> None:
        output.item({"a": 1}, "a 1")
        output.summary({"b": 2})
        raise error

    assert run_verb(body, *(["--json"] if as_json else [])) == code
    told = capsys.readouterr()
    assert "error: " in told.err
    assert "Traceback" not in told.err
    if as_json:
        lines = [json.loads(line) for line in told.out.splitlines()]
        assert [line["type"] for line in lines] == ["item", "error"]
        assert lines[1]["exit_code"] == code
    if getattr(error, "hint", ""):
        assert f"hint: {getattr(error, 'hint', '')}" in told.err


def test_where_an_unexpected_error_happened_is_told_when_asked(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(_: Output) -> None:
        raise KeyError("x")

    assert run_verb(body, "-v") == 1
    assert "Traceback" in capsys.readouterr().err


def test_an_error_gives_no_orders_to_a_terminal(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(_: Output) -> None:
        raise Halt("asset \x1b[2J\u202e is damaged", hint="rm \x9b")

    run_verb(body)
    assert all(line.isprintable() for line in capsys.readouterr().err.split("\n"))


def test_json_is_items_and_exactly_one_summary(run_verb: RunVerb, capsys: pytest.CaptureFixture[str]) -> None:
    def body(output: Output) -> int:
        output.summary({"n": 0})
        output.items([{"name": "pump\x1b", "value": float("nan")}, {"name": "b"}], ["name", "value"])
        output.progress({"done": 1}, "one")
        output.summary({"n": 2}, "two")
        return 1

    assert run_verb(body, "--json") == 1
    told = capsys.readouterr()
    assert [json.loads(line) for line in told.out.splitlines()] == [
        {"type": "item", "name": "pump\x1b", "value": None},
        {"type": "item", "name": "b"},
        {"type": "summary", "n": 2},
    ]
    assert json.loads(told.err) == {"type": "progress", "done": 1}


def test_a_silent_verb_has_a_summary_in_json_all_the_same(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run_verb(lambda _: None, "--json") == 0
    assert json.loads(capsys.readouterr().out) == {"type": "summary"}


def test_without_a_terminal_items_are_tabbed_lines_without_colour(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    rows = [{"name": "[red]pump\x1b[31m\n", "rows": 12345}]
    assert run_verb(lambda output: output.items(rows, {"name": "sensor", "rows": "readings"})) == 0
    assert capsys.readouterr().out == "sensor\treadings\n[red]pump\\x1b[31m\\n\t12345\n"


def test_on_a_terminal_names_are_shown_as_they_are_and_give_no_orders(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setenv("NO_COLOR", "1")
    screen = Terminal()
    with Output(out=screen) as output:
        output.items([{"name": "[red]:smile:\x1b[31m", "rows": 5}], {"name": "[b]sensor", "rows": "readings"})
    assert "[red]:smile:\\x1b[31m" in screen.getvalue()
    assert "[b]sensor" in screen.getvalue()
    assert "\x1b[31" not in screen.getvalue()


def test_quiet_keeps_the_answer_and_drops_the_talk(
    run_verb: RunVerb, capsys: pytest.CaptureFixture[str]
) -> None:
    def body(output: Output) -> None:
        output.note("talk")
        output.progress({}, "talk")
        output.item({}, "answer")
        output.warn("odd")

    run_verb(body, "-q")
    told = capsys.readouterr()
    assert (told.out, told.err) == ("answer\n", "warning: odd\n")


def test_data_names_the_parent_of_raw(empty_directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Settings] = []

    @click.command("probe")
    @settings_options
    def probe(settings: Settings) -> None:
        seen.append(settings)

    monkeypatch.setattr(cli.LazyGroup, "get_command", lambda *_: probe)
    monkeypatch.setenv("LOCAL_STORAGE_PATH", "/elsewhere/raw")
    assert cli.run(["probe", "--data", "here"]) == 0
    assert seen[0].storage.local_storage_path == empty_directory / "here" / "raw"
    assert seen[0].origin("LOCAL_STORAGE_PATH") == "command line"


def test_config_show_says_where_each_value_comes_from(
    empty_directory: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (empty_directory / "other.env").write_text("LOG_LEVEL=debug\n")
    monkeypatch.setenv("SERVICE_PORT", "81")
    assert cli.run(["config", "show", "--changed", "--json", "--env-file", "other.env"]) == 0
    *items, summary = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert {item["name"]: (item["value"], item["origin"]) for item in items} == {
        "SERVICE_PORT": ("81", "environment"),
        "LOG_LEVEL": ("DEBUG", "other.env:1"),
    }
    assert summary == {"type": "summary", "settings": 2, "warnings": []}


def test_config_check_ends_with_2_and_names_what_is_wrong(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.run(["config", "check"]) == 0
    monkeypatch.setenv("SERVICE_PORT", "x")
    assert cli.run(["config", "check"]) == 2
    assert "SERVICE_PORT must be a port" in capsys.readouterr().err


def test_a_reader_that_leaves_early_ends_us_quietly() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    found = subprocess.run(
        [sys.executable, "-m", "sensor_storage", "config", "docs"],
        stdout=writing,
        stderr=subprocess.PIPE,
        check=False,
    )
    os.close(writing)
    assert (found.returncode, found.stderr) == (cli.STDOUT_GONE, b"")
