"""The log: one event a line, whatever strangers call their sensors, and it never raises."""

import io
import json
import logging
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sensor_storage import log
from sensor_storage.kafka.consumer import CLIENT_LOG

NASTY = "pump\x1b[2J\r\n2024 level=error event=forged \u202e\x9b31m\udc80"


@pytest.fixture(autouse=True)
def restored_logging() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    logging.getLogger(log.ROOT).setLevel(logging.NOTSET)


def told(form: str, event: str = "segment_written", /, **fields: object) -> str:
    stream = io.StringIO()
    log.configure("DEBUG", form, stream=stream)  # type: ignore[arg-type]
    log.get("ingest").info(event, **fields)
    return stream.getvalue()


def told_json(**fields: object) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(told("json", **fields))
    return found


def test_json_is_one_object_a_line() -> None:
    record = told_json(rows=3600, seconds=0.02, when=datetime(2024, 1, 1, tzinfo=UTC))
    assert record.pop("time").endswith("Z")
    assert record == {
        "level": "info",
        "logger": "ingest",
        "event": "segment_written",
        "rows": 3600,
        "seconds": 0.02,
        "when": "2024-01-01T00:00:00+00:00",
    }


def test_console_is_one_line_with_words() -> None:
    line = told("console", rows=3600, name="two words", none=None, empty="")
    assert line.endswith('info    ingest segment_written  rows=3600 name="two words" none=null empty=""\n')


@pytest.mark.parametrize("form", ["json", "console"])
def test_a_strangers_name_gives_no_orders_to_a_terminal(form: str) -> None:
    line = told(form, NASTY, name=NASTY, **{NASTY: NASTY}).removesuffix("\n")
    assert line.isprintable()


@pytest.mark.parametrize("form", ["json", "console"])
@given(text=st.text(), number=st.floats() | st.integers() | st.binary() | st.none())
def test_any_event_is_one_printable_line(form: str, text: str, number: object) -> None:
    line = told(form, text, a=text, b=number, c={text: [number]})
    assert line.count("\n") == 1
    assert line.removesuffix("\n").isprintable()


@pytest.mark.parametrize("form", ["json", "console"])
def test_what_cannot_be_put_into_words_is_told_as_such(form: str) -> None:
    class Mute:
        def __str__(self) -> str:
            raise RuntimeError("no")

    assert "unspeakable_event" in told(form, thing=Mute())


def test_a_stream_that_is_gone_does_not_stop_the_service(capsys: pytest.CaptureFixture[str]) -> None:
    stream = io.StringIO()
    log.configure("INFO", "json", stream=stream)
    stream.close()
    log.get("ingest").info("segment_written")
    assert capsys.readouterr().err == ""


def test_fields_do_not_hide_the_head_of_the_line() -> None:
    record = told_json(level="x", time="y", event="z")
    assert (record["level"], record["level_"], record["event"], record["event_"]) == (
        "info",
        "x",
        "segment_written",
        "z",
    )


def test_long_text_is_cut() -> None:
    assert len(told("json", text="x" * 100_000)) < 3000


def test_json_has_no_nan() -> None:
    assert told_json(a=float("nan"), b=[float("inf")]) | {"time": ""} == {
        "time": "",
        "level": "info",
        "logger": "ingest",
        "event": "segment_written",
        "a": None,
        "b": [None],
    }


@pytest.mark.parametrize("form", ["json", "console"])
def test_an_exception_comes_with_where_it_happened(form: str) -> None:
    stream = io.StringIO()
    log.configure("INFO", form, stream=stream)  # type: ignore[arg-type]
    try:
        int(NASTY)
    except ValueError:
        log.get("ingest").exception("segment_refused", name=NASTY)
    assert "test_log.py" in stream.getvalue()
    assert all(line.isprintable() for line in stream.getvalue().split("\n"))


def test_lines_of_libraries_come_in_the_same_form() -> None:
    stream = io.StringIO()
    log.configure("WARNING", "json", stream=stream, worker="ingest-0")
    logging.getLogger("uvicorn").warning("port %d", 8080)
    logging.getLogger("uvicorn").info("hidden")
    record = json.loads(stream.getvalue())
    assert (record["logger"], record["event"], record["worker"]) == ("uvicorn", "port 8080", "ingest-0")


def test_libraries_never_tell_details_which_may_be_passwords() -> None:
    stream = io.StringIO()
    log.configure("DEBUG", "json", stream=stream)
    logging.getLogger("kafka.admin.client").debug("starting with %s", {"sasl_plain_password": "hush"})
    log.get("ingest").debug("ours")
    assert "hush" not in stream.getvalue()
    assert "ours" in stream.getvalue()


@pytest.mark.parametrize("form", ["json", "console"])
def test_logins_and_tokens_in_addresses_are_hidden(form: str) -> None:
    line = told(form, "store_away", error="PUT https://a:hush@host/c?sv=1&sig=hush&se=2 gave 400")
    assert "hush" not in line
    assert "host/c?sv=1" in line


def test_auto_is_json_unless_on_a_terminal() -> None:
    assert told("auto").startswith("{")


def test_configuring_again_replaces_and_does_not_add() -> None:
    first, second = io.StringIO(), io.StringIO()
    log.configure("INFO", "json", stream=first)
    log.configure("INFO", "json", stream=second)
    log.get("ingest").info("segment_written")
    assert first.getvalue() == ""
    assert second.getvalue().count("\n") == 1


def test_a_kafka_that_is_away_does_not_bury_the_services_own_lines(
    capsys: pytest.CaptureFixture[str],
) -> None:
    """The clients tell each attempt to connect."""
    log.configure("INFO", "json")
    logging.getLogger("kafka.net.manager").error("Connection failed")
    logging.getLogger("some.library").info("Attempting")
    logging.getLogger("some.library").warning("odd")
    for after in range(50):
        CLIENT_LOG.error("FAIL connect to plant-7 failed (after %dms)", after)
    CLIENT_LOG.error("FAIL the login of plant-7 was refused (after 3ms)")
    log.get("kafka").warning("broker_unreachable")
    told = [json.loads(line)["event"] for line in capsys.readouterr().err.splitlines()]
    assert told == [
        "odd",
        "FAIL connect to plant-7 failed (after 0ms)",
        "FAIL the login of plant-7 was refused (after 3ms)",
        "broker_unreachable",
    ]
