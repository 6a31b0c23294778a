"""What a command takes: processor time, wall time, and the most memory it held."""

import os
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence

PROGRAM = [sys.executable, "-m", "sensor_storage"]


def taken(words: Sequence[str], environment: Mapping[str, str] = os.environ) -> dict[str, float]:
    """Run it to its end. Its memory is at least this process' own: a child's figure begins there (getrusage)."""
    began = time.monotonic()
    process = subprocess.Popen(
        words, env=environment, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=sys.stderr
    )
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    return {
        "status": process.returncode,
        "cpu_seconds": round(used.ru_utime + used.ru_stime, 2),
        "wall_seconds": round(time.monotonic() - began, 2),
        "largest_memory_mb": used.ru_maxrss * 1024 // 1_000_000,
    }
