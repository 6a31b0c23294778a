"""The page's own modules, run by node without a browser."""

import json
import os
import subprocess
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]


BIN = ROOT / ".venv" / "bin"


def run_by_node(program: str, argument: list[Any]) -> list[Any]:
    """The JSON that a program prints which imports modules from `./src`; its argument is `process.argv[1]`."""
    bundled = _run(
        [str(ROOT / "web/node_modules/.bin/esbuild"), "--bundle", "--format=esm", "--loader=ts"], program
    )
    node = [str(BIN / "node"), "--input-type=module", "-e", bundled, json.dumps(argument)]
    found: list[Any] = json.loads(_run(node))
    return found


def _run(command: list[str], given: str = "") -> str:
    done = subprocess.run(
        command,
        input=given,
        cwd=ROOT / "web",
        env={**os.environ, "TZ": "America/New_York", "PATH": f"{BIN}:{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout
