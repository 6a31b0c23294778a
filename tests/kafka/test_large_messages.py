"""Large messages and messages made to be large: a clear outcome in bounded memory."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from sensor_storage.kafka.gather import PIECE_BYTES, pieces
from support.bombs import BOMBS
from support.decoding import batch_of

TESTS = Path(__file__).parents[1]
LIMIT_BYTES = 512_000_000


@pytest.mark.parametrize("name", BOMBS)
def test_a_message_made_to_be_large_has_a_clear_outcome_in_bounded_memory(name: str) -> None:
    done = subprocess.run(  # noqa: S603 - our own program
        [sys.executable, "-m", "support.bombs", name],
        capture_output=True,
        text=True,
        check=True,
        env=os.environ | {"PYTHONPATH": str(TESTS)},
    )
    found, peak = done.stdout.split()
    assert found == BOMBS[name][1]
    assert int(peak) < LIMIT_BYTES, f"{int(peak):,} bytes"


@pytest.mark.parametrize(
    ("sizes", "parts"),
    [
        ([0, 10, 0], [[0, 10, 0]]),
        ([PIECE_BYTES, 1, 1], [[PIECE_BYTES], [1, 1]]),
        ([1, PIECE_BYTES * 3, PIECE_BYTES, 1, 1], [[1], [PIECE_BYTES * 3], [PIECE_BYTES], [1, 1]]),
        ([PIECE_BYTES // 2] * 5, [[PIECE_BYTES // 2] * 2, [PIECE_BYTES // 2] * 2, [PIECE_BYTES // 2]]),
        ([5] * 1000, [[5] * 1000]),
    ],
)
def test_a_batch_is_decoded_in_pieces_of_bounded_bytes(sizes: list[int], parts: list[list[int]]) -> None:
    values = [bytes(size) if size else None for size in sizes]
    found = list(pieces(batch_of(values)))
    assert [[len(value or b"") for value in part.value] for part in found] == parts
    assert [int(offset) for part in found for offset in part.offset] == [
        100 + row for row in range(len(sizes))
    ]
