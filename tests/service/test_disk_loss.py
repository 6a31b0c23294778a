"""Kills during upload and cleanup, and a lost disk: the short form of `scripts/disk_loss.py`."""

import json
import subprocess
import sys
from pathlib import Path

SCRIPT = Path(__file__).parents[2] / "scripts" / "disk_loss.py"


def test_kills_during_upload_and_cleanup_and_a_lost_disk_cost_no_reading() -> None:
    words = ["--messages", "40000", "--kills", "3", "--seed", "2"]
    done = subprocess.run([sys.executable, str(SCRIPT), *words], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    outcome = json.loads(done.stdout.splitlines()[-1])
    after = outcome["verify_after"]
    assert outcome["stored_readings"] == after["readings"] == outcome["acknowledged_readings"] > 40_000
    assert after["clean"]
    assert after["cold"]["="] >= outcome["restore"]["files"] > 100
    assert outcome["answers_equal"]
