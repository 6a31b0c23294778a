"""The demo shows the way to the cold store and back: the short form of `scripts/demo_way.py`."""

import json
import subprocess
import sys
import time
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "demo_way.py"


@pytest.mark.slow
@pytest.mark.timeout(330)
def test_a_file_of_the_demo_is_uploaded_proven_and_gone_and_the_next_query_reads_it_back() -> None:
    past = int(time.time()) % 3600 + 120  # so that an hour is over
    words = ["--past", str(past), "--within", "100"]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    seen = json.loads(done.stdout.splitlines()[-1])
    assert {"uploaded", "proven_and_gone", "read_back"} <= seen.keys(), seen
    assert seen["uploaded"]["files"] > 0
    assert seen["proven_and_gone"]["because"] == "proven"
    assert seen["read_back"]["rows"] > 0
    assert seen["read_back"]["tiers"]["cloud"] > 0
