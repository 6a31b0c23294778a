"""Watch the demo's way to the cold store and back: a file uploaded, proven, gone from this disk, read by a query.

`python scripts/demo_way.py`, with `--azurite` as `make demo-azure`; other words go to `sensor-storage demo`. Prints
one JSON line with the seconds since the start of each; exit 1 unless the query was answered `--within` 120 seconds.
"""

import argparse
import json
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import urlencode
from urllib.request import urlopen

from sensor_storage.demo.azurite import _free_port
from sensor_storage.model import Series


def main() -> int:
    """Start the demo, watch, and end it."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--within", type=float, default=120)
    chosen, words = parser.parse_known_args()
    seen: dict[str, Any] = {}
    with tempfile.TemporaryDirectory() as folder:
        data, port = Path(folder) / "demo", _free_port()
        began = time.monotonic()
        demo = subprocess.Popen(
            [
                sys.executable,
                "-m",
                "sensor_storage",
                "demo",
                "--data",
                str(data),
                "--port",
                str(port),
                *words,
            ],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        try:
            for what, found in _way(data / "service.log", f"http://127.0.0.1:{port}"):
                seconds = round(time.monotonic() - began, 1)
                seen[what] = {"seconds": seconds, **found}
                if seconds > 2 * chosen.within + 60 or demo.poll() is not None:
                    break
        finally:
            demo.send_signal(signal.SIGINT)
            demo.wait(60)
        if "read_back" not in seen:
            seen["log"] = (data / "service.log").read_text().splitlines()[-20:]
    print(json.dumps(seen))
    return 0 if seen.get("read_back", {}).get("seconds", chosen.within + 1) <= chosen.within else 1


def _way(log: Path, url: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """The steps as they are seen, and a mark each second between them and behind each query in vain."""
    steps: dict[str, str] = {"uploaded": "uploaded", "removed": "proven_and_gone"}
    seen = 0
    while True:
        time.sleep(1)
        yield "watched", {}
        events = _events(log)
        for event in events[seen:]:
            if what := steps.pop(event["event"], None):
                yield what, {name: event[name] for name in ("files", "file", "because") if name in event}
            if event["event"] == "removed" and event["file"].startswith("raw/"):
                if answer := _read_back(url, event["file"]):
                    yield "read_back", answer
                    return
                yield "watched", {}
        seen = len(events)


def _events(log: Path) -> list[dict[str, Any]]:
    """What the service has told so far, whole lines alone."""
    lines = log.read_text().splitlines(keepends=True) if log.exists() else []
    return [json.loads(line) for line in lines if line.startswith("{") and line.endswith("\n")]


def _read_back(url: str, name: str) -> dict[str, Any] | None:
    """A query of that hour's readings, if it was answered from the cold store."""
    _, asset, year, month, day, hour, file = name.split("/")
    series = Series(asset, file.removesuffix(".parquet"))
    start = f"{year}-{month}-{day}T{hour}"
    asked = {
        "asset": series.asset,
        "sensor": series.sensor,
        "start": f"{start}:00:00Z",
        "end": f"{start}:59:59Z",
    }
    try:
        with urlopen(f"{url}/query?{urlencode(asked)}&resolution=raw&max_points=1000", timeout=60) as answer:
            found = json.load(answer)
    except (URLError, OSError):
        return None
    tiers = found.get("tiers", {})
    return {"rows": len(found["rows"]), "tiers": tiers} if found["rows"] and tiers.get("cloud") else None


if __name__ == "__main__":
    sys.exit(main())
