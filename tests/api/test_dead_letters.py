"""`/dead-letters`, as a client sees it."""

from typing import Any

import pytest

from sensor_storage.storage.layout import Layout
from support.samples import dead_letter, keep_dead_letters
from support.sending import Send
from support.workers import maintain_that_answers

REPLAYED = {
    "letters": 3,
    "replayed": 2,
    "readings": 4,
    "already": 0,
    "unreadable": 1,
    "pending": 0,
    "damaged": 0,
}


def _offsets(answer: dict[str, Any]) -> list[int]:
    return [one["kafka_offset"] for one in answer["dead_letters"]]


def test_a_dead_letter_tells_reason_payload_key_and_headers(send: Send, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(7)])
    (one,) = send("GET", "/dead-letters").json()["dead_letters"]
    assert (one["kafka_topic"], one["kafka_partition"], one["kafka_offset"]) == ("sensor-data-a", 0, 7)
    assert (one["reason"], one["error"]) == ("not_json", "not JSON: unexpected end")
    assert (one["key"], one["value"], one["value_bytes"], one["replayed"]) == ("press-7", "{", 1, False)
    assert one["kafka_timestamp"] == "2024-01-01T00:00:00.123Z"
    assert [(item["name"], item["value"], item["value_base64"]) for item in one["headers"]] == [
        ("trace", None, "/wA="),
        ("from", "gateway", None),
        ("none", None, None),
    ]


def test_dead_letters_come_newest_first_page_by_page(send: Send, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(offset) for offset in range(5)])
    keep_dead_letters(layout, [dead_letter(offset) for offset in range(5, 9)], number=1)
    found, after = [], None
    while True:
        page = send(
            "GET", "/dead-letters", params={"limit": 4} if after is None else {"limit": 4, "after": after}
        ).json()
        found += _offsets(page)
        after = page["next"]
        if after is None:
            break
    assert found == list(range(8, -1, -1))
    problem = send("GET", "/dead-letters", params={"after": "nonsense"})
    assert (problem.status_code, problem.json()["parameter"]) == (422, "after")


def test_reason_topic_and_address_narrow_the_dead_letters(send: Send, layout: Layout) -> None:
    letters = [dead_letter(i, reason="bad_timestamp" if i % 2 else "not_json") for i in range(6)]
    keep_dead_letters(layout, letters)
    for asked, expected in (
        ({"reason": "bad_timestamp"}, [5, 3, 1]),
        ({"topic": "other"}, []),
        ({"topic": "sensor-data-a", "partition": 0, "offset": 4}, [4]),
        ({"partition": 1}, []),
    ):
        assert _offsets(send("GET", "/dead-letters", params=asked).json()) == expected, asked


@pytest.mark.parametrize(("method", "path"), [("GET", "/dead-letters"), ("POST", "/dead-letters/replay")])
def test_a_reason_there_is_not_is_refused_with_those_there_are(send: Send, method: str, path: str) -> None:
    answer = send(method, path, params={"reason": "zzz"})
    assert answer.status_code == 422
    assert "bad_timestamp" in answer.json()["detail"]


def test_a_long_payload_is_told_whole_only_where_that_is_asked_for(send: Send, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1, value=b"x" * 50_000), dead_letter(2, value=b"\xff" * 50_000)])
    binary, text = send("GET", "/dead-letters").json()["dead_letters"]
    assert (text["value"], text["value_bytes"]) == ("x" * 2000, 50_000)
    assert len(binary["value_base64"]) == 2668
    whole = send("GET", "/dead-letters", params={"offset": 1, "whole": True}).json()["dead_letters"][0]
    assert whole["value"] == "x" * 50_000


def test_a_damaged_file_is_named_and_the_others_are_listed(send: Send, layout: Layout) -> None:
    keep_dead_letters(layout, [dead_letter(1)])
    keep_dead_letters(layout, [dead_letter(2)], number=1)
    path = layout.dead_letter_files()[0]
    path.write_bytes(b"PAR1" + path.read_bytes()[5:])
    answer = send("GET", "/dead-letters").json()
    assert _offsets(answer) == [2]
    assert path.name in answer["damaged"][0]


@pytest.mark.parametrize("dry_run", [False, True])
def test_replay_lets_the_maintain_worker_do_it_and_tells_what_became_of_them(
    send: Send, layout: Layout, dry_run: bool
) -> None:
    asked = {"reason": "bad_timestamp", "dry_run": dry_run}
    with maintain_that_answers(layout, lambda _: REPLAYED) as came:
        answer = send("POST", "/dead-letters/replay", params=asked)
    assert answer.json() == REPLAYED
    assert came == [{"verb": "replay", "reason": "bad_timestamp", "topic": None, "dry_run": dry_run}]


def test_a_replay_not_waited_for_is_a_job_to_look_up(send: Send, layout: Layout) -> None:
    with maintain_that_answers(layout, lambda _: REPLAYED):
        begun = send("POST", "/dead-letters/replay?wait=60")
        assert begun.status_code == 200
        assert send("GET", "/dead-letters/replay/1").json() == {
            "job": 1,
            "state": "done",
            "location": "/dead-letters/replay/1",
            "report": REPLAYED,
        }
    assert send("GET", "/dead-letters/replay/9").status_code == 404


def test_a_replay_that_went_wrong_says_why(send: Send, layout: Layout) -> None:
    with maintain_that_answers(layout, lambda _: {"error": "the disk is full", "hint": "make room"}):
        answer = send("POST", "/dead-letters/replay")
    assert (answer.status_code, answer.json()["detail"], answer.json()["hint"]) == (
        503,
        "the disk is full",
        "make room",
    )
