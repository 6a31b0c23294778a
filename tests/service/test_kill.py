"""The whole service, a real broker, and kill -9: the short form of `make proof`."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROOF = Path(__file__).parents[2] / "scripts" / "proof.py"


@pytest.mark.parametrize("workers", [1, 3], ids=["one worker", "three workers and zombies"])
def test_no_kill_loses_or_doubles_a_reading(tmp_path: Path, workers: int) -> None:
    done = subprocess.run(
        [
            sys.executable,
            str(PROOF),
            "--readings",
            "400000",
            "--kills",
            "5",
            "--seed",
            "3",
            "--workers",
            str(workers),
            "--directory",
            str(tmp_path),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    count = json.loads(done.stdout.splitlines()[-1])
    assert count["exact"]
    assert count["stored_rows"] == count["acknowledged_readings"] >= 400_000
    assert count["dead_letters"] == count["expected_dead_letters"] > 0
