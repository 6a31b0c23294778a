import base64
import json
from dataclasses import replace
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from sensor_storage.kafka.decoder import Decoder, DecodeSettings
from sensor_storage.kafka.refusal import Reason
from sensor_storage.kafka.replay import Replay
from sensor_storage.model import Address
from sensor_storage.storage.dead_letters import DeadLetter, DeadLetterSizes
from sensor_storage.storage.durable import Disk
from sensor_storage.storage.footers import totals_of
from sensor_storage.storage.layout import Layout, StagedName
from sensor_storage.storage.ledger import LedgerEntry, fold
from sensor_storage.storage.ledger_files import read_all_ledgers
from sensor_storage.storage.ownership import alone, own
from sensor_storage.storage.parquet import CheckedFile
from sensor_storage.storage.segments import encode_segment
from sensor_storage.storage.verify import verify
from support.command import Run
from support.samples import SOURCE, dead_letter, keep_dead_letters
from support.trees import compactor, readings_of, stored_rows


def test_the_newest_come_first_with_the_promised_fields(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1), dead_letter(2)])
    keep_dead_letters(layout, [dead_letter(3, reason="bad_timestamp")], number=1)
    *items, summary = run("dead-letters", "list", "--json").lines()
    assert [one["kafka_offset"] for one in items] == [3, 2, 1]
    assert items[0] == {
        "type": "item",
        "address": "sensor-data-a/0@3",
        "kafka_topic": "sensor-data-a",
        "kafka_partition": 0,
        "kafka_offset": 3,
        "kafka_timestamp": "2024-01-01T00:00:00.123Z",
        "reason": "bad_timestamp",
        "error": "not JSON: unexpected end",
        "value_bytes": 1,
        "replayed": False,
    }
    assert summary == {"type": "summary", "dead_letters": 3, "more": False, "damaged": 0}


def test_of_letters_stored_together_those_with_the_latest_time_come_first_across_partitions(
    run: Run, layout: Layout
) -> None:
    def at(partition: int, offset: int, timestamp: int) -> DeadLetter:
        source = SOURCE._replace(partition=partition)
        return replace(dead_letter(offset), address=Address(source, offset), timestamp=timestamp)

    keep_dead_letters(layout, [at(0, 1, 1000), at(0, 2, 4000), at(1, 7, 2000), at(1, 8, 3000)])
    keep_dead_letters(layout, [at(1, 9, 500)], number=1)
    listed = [one.get("address") for one in run("dead-letters", "list", "--json").lines()[:-1]]
    assert listed == [f"{SOURCE.topic}/{at}" for at in ("1@9", "0@2", "1@8", "1@7", "0@1")]


@pytest.mark.parametrize("verb", ["list", "replay", "export"])
def test_a_reason_that_there_is_not_is_answered_with_those_there_are(
    run: Run, layout: Layout, tmp_path: Path, verb: str
) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    target = ["-o", str(tmp_path / "letters.ndjson")] if verb == "export" else []
    done = run("dead-letters", verb, "--reason", "nosuch", *target)
    assert (done.code, done.out) == (2, "")
    assert all(reason in done.err for reason in Reason)


def test_a_message_kept_twice_is_listed_once(run: Run, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    keep_dead_letters(layout, [dead_letter(1)], number=1)
    assert run("dead-letters", "list", "--json").lines()[-1]["dead_letters"] == 1


def test_reason_topic_and_limit_narrow_the_list(run: Run, layout: Layout) -> None:
    keep_dead_letters(
        layout, [dead_letter(i, reason="bad_timestamp" if i % 2 else "not_json") for i in range(10)]
    )

    def offsets(*options: str) -> list[int]:
        lines = run("dead-letters", "list", "--json", *options).lines()
        return [line["kafka_offset"] for line in lines if line["type"] == "item"]

    assert offsets("--reason", "bad_timestamp") == [9, 7, 5, 3, 1]
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


NOW = 1_800_000_000.0
AHEAD = b'{"asset_id":"m","ts":"2024-01-05T00:00:00Z","a":1,"b":2}'
LETTERS = {3: AHEAD, 5: b"{", 8: AHEAD.replace(b'"a":1', b'"a":7')}
FIX = {"TIMESTAMP_MAX_AHEAD": "30d"}


@pytest.fixture
def consumed(layout: Layout) -> Layout:
    """Ten messages the ledger answers for: seven readings and three letters, of which a setting would read two."""
    letters = [dead_letter(offset, value=value) for offset, value in LETTERS.items()]
    keep_dead_letters(layout, letters[:1])
    keep_dead_letters(layout, letters[1:], number=1)
    readings = readings_of([offset for offset in range(10) if offset not in LETTERS])
    (totals,) = totals_of(readings)
    entry = LedgerEntry(SOURCE, 0, 10, 10, totals.readings, 3, 0, totals.hash_sum)
    path = layout.staged(StagedName(int(NOW * 1000), "ingest0", 0, 0))
    Disk(layout.root).publish_bytes(path, encode_segment(readings, [entry], "zstd"))
    assert _findings(layout) == []
    return layout


def _findings(layout: Layout) -> list[object]:
    return [*verify(layout, full=True, mark=False).findings]


def _fix(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in FIX.items():
        monkeypatch.setenv(name, value)


@pytest.mark.parametrize("compacted", [False, True], ids=["staged", "in hour files"])
def test_after_a_fix_letters_become_readings_once_with_their_identity(
    run: Run, consumed: Layout, monkeypatch: pytest.MonkeyPatch, compacted: bool
) -> None:
    assert run("dead-letters", "replay", "--json").lines()[-1]["unreadable"] == 3
    before = stored_rows(consumed)
    _fix(monkeypatch)
    dry = run("dead-letters", "replay", "--dry-run", "--json").lines()[-1]
    assert (dry["replayed"], dry["readings"], stored_rows(consumed)) == (2, 4, before)
    if compacted:
        compactor(consumed).run_once(NOW, NOW, flush=True)
    summary = run("dead-letters", "replay", "--json").lines()[-1]
    expected = {"letters": 3, "replayed": 2, "readings": 4, "already": 0, "unreadable": 1, "pending": 0}
    assert {name: summary[name] for name in expected} == expected
    new = [row[:3] for row in stored_rows(consumed) if row not in before]
    assert new == [(SOURCE, offset, index) for offset in (3, 8) for index in (0, 1)]
    assert _findings(consumed) == []
    for _ in range(2):
        again = run("dead-letters", "replay", "--json").lines()[-1]
        assert (again["replayed"], again["already"]) == (0, 2)
        compactor(consumed).run_once(NOW, NOW, flush=True)
        assert _findings(consumed) == []
    assert len(stored_rows(consumed)) == 11
    listed = run("dead-letters", "list", "--json").lines()[:-1]
    assert {line["kafka_offset"]: line["replayed"] for line in listed} == {3: True, 5: False, 8: True}
    (partition,) = verify(consumed, full=True, mark=False).partitions
    assert (partition.stored, partition.readings, partition.dead_letters) == (9, 11, 1)


def test_the_mark_survives_folding_and_a_lost_replay_is_missing(
    run: Run, consumed: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fix(monkeypatch)
    run("dead-letters", "replay", "--reason", "not_json")
    entries = read_all_ledgers(consumed)
    assert [entry.start for entry in fold([*entries, *entries]) if entry.fate == "replayed"] == [3, 8]
    compactor(consumed).run_once(NOW, NOW, flush=True)
    assert [entry.start for entry in read_all_ledgers(consumed) if entry.fate == "replayed"] == [3, 8]
    (path,) = [path for path in consumed.hour_files() if CheckedFile(path).readings().series[0].sensor == "a"]
    path.unlink()
    consumed.catalog.unlink()
    assert "readings" in str(_findings(consumed))


def test_letters_whose_segment_was_never_written_or_was_consumed_again_are_left_alone(
    run: Run, layout: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep_dead_letters(layout, [dead_letter(0, value=AHEAD), dead_letter(50, value=AHEAD)])
    readings = readings_of(range(10))  # offset 0 came again, after the fix
    (totals,) = totals_of(readings)
    entry = LedgerEntry(SOURCE, 0, 10, 10, totals.readings, 0, 0, totals.hash_sum)
    path = layout.staged(StagedName(int(NOW * 1000), "ingest0", 0, 0))
    Disk(layout.root).publish_bytes(path, encode_segment(readings, [entry], "zstd"))
    _fix(monkeypatch)
    summary = run("dead-letters", "replay", "--json").lines()[-1]
    assert (summary["replayed"], summary["already"], summary["pending"]) == (0, 1, 1)
    assert len(layout.staged_files()) == 1


def test_a_replay_runs_beside_the_service_and_alone_of_its_kind(
    run: Run, consumed: Layout, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fix(monkeypatch)
    with own(consumed), alone(consumed, "replay"):
        done = run("dead-letters", "replay")
        assert (done.code, "another process" in done.err) == (5, True)
    with own(consumed):
        assert run("dead-letters", "replay", "--json").lines()[-1]["replayed"] == 2


def test_a_damaged_file_does_not_keep_the_others_from_being_replayed_or_exported(
    run: Run, consumed: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _fix(monkeypatch)
    path = consumed.dead_letter_files()[0]
    path.write_bytes(path.read_bytes()[:-3])
    done = run("dead-letters", "replay", "--json")
    assert (done.code, done.lines()[-1]["replayed"], done.lines()[-1]["damaged"]) == (1, 1, 1)
    done = run("dead-letters", "export", "-o", str(tmp_path / "letters.ndjson"), "--json")
    assert (done.code, done.lines()[-1]["dead_letters"]) == (1, 2)


@pytest.mark.usefixtures("consumed")
def test_letters_are_exported_whole(run: Run, tmp_path: Path) -> None:
    lines, table = tmp_path / "letters.ndjson", tmp_path / "letters.parquet"
    assert run("dead-letters", "export", "-o", str(lines)).code == 0
    assert run("dead-letters", "export", "-o", str(table), "--reason", "not_json").code == 0
    found = [json.loads(line) for line in lines.read_text().splitlines()]
    assert [(one["kafka_offset"], one["value"].encode()) for one in found] == list(LETTERS.items())
    assert found[0]["headers"][1] == {"name": "from", "value": "gateway"}
    read = pq.read_table(table)
    assert dict(zip(read["kafka_offset"].to_pylist(), read["value"].to_pylist(), strict=True)) == LETTERS
    assert run("dead-letters", "export", "-o", str(lines)).code == 2
    assert run("dead-letters", "export", "-o", str(tmp_path / "letters.txt")).code == 2
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == [lines.name, table.name]


def test_a_time_no_calendar_has_is_shown_and_its_file_is_not_damaged(run: Run, layout: Layout) -> None:
    letter = dead_letter(1)
    beyond = type(letter)(
        **{name: getattr(letter, name) for name in letter.__slots__} | {"timestamp": 1 << 60}
    )
    keep_dead_letters(layout, [beyond])
    (line, summary) = run("dead-letters", "list", "--json").lines()
    assert line["kafka_timestamp"] == f"{1 << 60} ms since 1970"
    assert summary["damaged"] == 0


def test_the_room_that_letters_take_is_what_their_files_take(layout: Layout) -> None:
    sizes = DeadLetterSizes(layout)
    assert sizes.total() == 0
    for number in range(3):
        keep_dead_letters(layout, [dead_letter(number)], number=number)
        assert sizes.total() == sum(path.stat().st_size for path in layout.dead_letter_files())


def test_a_letter_that_comes_in_the_middle_of_a_replay_is_left_for_another_time(consumed: Layout) -> None:
    """Nobody looked whether the ledger answers for it: Kafka may deliver its message again."""

    def chosen(letter: DeadLetter) -> bool:
        if letter.address.offset == min(LETTERS):
            keep_dead_letters(consumed, [dead_letter(50)], number=2)
        return True

    done = Replay(
        layout=consumed,
        disk=Disk(consumed.root),
        decode=Decoder(DecodeSettings(topic_pattern="^.*")).decode,
        names=lambda: StagedName(int(NOW * 1000), "replay", 0, 0),
        compression="zstd",
        damaged=print,
    ).run(chosen)
    assert (done.letters, done.unreadable) == (3, 3)
