import base64

from sensor_storage.storage.layout import Layout
from support.command import Run
from support.samples import dead_letter, keep_dead_letters


def test_the_newest_come_first_with_the_promised_fields(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1), dead_letter(2)])
    keep_dead_letters(layout, [dead_letter(3, reason="timestamp")], number=1)
    *items, summary = run("dead-letters", "list", "--json").lines()
    assert [one["kafka_offset"] for one in items] == [3, 2, 1]
    assert items[0] == {
        "type": "item",
        "address": "sensor-data-a/0@3",
        "kafka_topic": "sensor-data-a",
        "kafka_partition": 0,
        "kafka_offset": 3,
        "kafka_timestamp": "2024-01-01T00:00:00.123Z",
        "reason": "timestamp",
        "error": "not JSON: unexpected end",
        "value_bytes": 1,
    }
    assert summary == {"type": "summary", "dead_letters": 3, "more": False, "damaged": 0}


def test_a_message_kept_twice_is_listed_once(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    keep_dead_letters(layout, [dead_letter(1)], number=1)
    assert run("dead-letters", "list", "--json").lines()[-1]["dead_letters"] == 1


def test_reason_topic_and_limit_narrow_the_list(run: Run, layout: Layout) -> None:
    keep_dead_letters(
        layout, [dead_letter(i, reason="timestamp" if i % 2 else "not-json") for i in range(10)]
    )

    def offsets(*options: str) -> list[int]:
        lines = run("dead-letters", "list", "--json", *options).lines()
        return [line["kafka_offset"] for line in lines if line["type"] == "item"]

    assert offsets("--reason", "timestamp") == [9, 7, 5, 3, 1]
    assert offsets("--limit", "2") == [9, 8]
    assert offsets("--limit", "0") == list(range(9, -1, -1))
    assert offsets("--topic", "other") == []
    assert run("dead-letters", "list", "--json", "--limit", "2").lines()[-1]["more"] is True


def test_a_message_is_shown_whole(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(4, value=b'{"a":\n 1'), dead_letter(5, value=b"\x80\x00")])
    letter, summary = run("dead-letters", "show", "sensor-data-a/0@4", "--json").lines()
    assert (letter["key"], letter["value"]) == ("press-7", '{"a":\n 1')
    assert letter["headers"] == [
        {"name": "trace", "value_base64": base64.b64encode(b"\xff\x00").decode()},
        {"name": "from", "value": "gateway"},
        {"name": "none", "value": None},
    ]
    assert summary["dead_letters"] == 1
    binary = run("dead-letters", "show", "sensor-data-a/0@5", "--json").lines()[0]
    assert base64.b64decode(binary["value_base64"]) == b"\x80\x00"


def test_for_people_bytes_that_are_no_text_are_hexadecimal_and_nothing_moves_the_cursor(
    run: Run, layout: Layout
) -> None:
    keep_dead_letters(layout, [dead_letter(4, value=b"\x1b[2J\nx"), dead_letter(5, value=b"\x80\x00")])
    text = run("dead-letters", "show", "sensor-data-a/0@4").out
    assert "\x1b" not in text
    assert "value:       \\x1b[2J\\nx" in text
    assert "80 00" in run("dead-letters", "show", "sensor-data-a/0@5").out


def test_an_address_that_is_none_or_not_there_says_what_to_type(run: Run, layout: Layout) -> None:
    layout.root.mkdir()
    done = run("dead-letters", "show", "sensor-data-a/0")
    assert done.code == 2
    assert "topic/partition@offset" in done.err
    done = run("dead-letters", "show", "sensor-data-a/0@99")
    assert done.code == 1
    assert "dead-letters list" in done.err


def test_a_damaged_file_is_named_and_the_rest_is_listed(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    keep_dead_letters(layout, [dead_letter(2)], number=1)
    path = layout.dead_letter_files()[0]
    path.write_bytes(b"PAR1" + path.read_bytes()[5:])
    done = run("dead-letters", "list", "--json")
    assert done.code == 1
    assert [line.get("kafka_offset") for line in done.lines()] == [2, None]
    assert path.name in done.err
