"""Kill the service while it uploads and cleans up, then lose its disk: `verify` and queries find every reading.

`python scripts/disk_loss.py --kills 30`: a real broker, the whole service, a folder as cold store, or with
`--azurite` Microsoft's emulator, which itself is ended by SIGTERM. Each kill is kill -9 of all processes of the
service at a random moment. Then the data directory is deleted and `restore --rewind` takes its place; Kafka sends
again what the store had not. Prints one JSON line; exit 1 if anything is missing or different.
"""

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.request import Request, urlopen

from sensor_storage.demo.azurite import Azurite, _free_port
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder

_PROGRAM = [sys.executable, "-m", "sensor_storage"]


class Service:
    """The service as a process group of its own, asked over HTTP."""

    def __init__(self, environment: dict[str, str], log: Path) -> None:
        self._environment = environment
        self._log = log
        self._url = f"http://127.0.0.1:{environment['SERVICE_PORT']}"
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Run it; it need not be ready."""
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*_PROGRAM, "run"], env=self._environment, stdout=log, stderr=log, start_new_session=True
            )

    def end(self, how: signal.Signals) -> int:
        """Send all its processes the signal, and wait."""
        if self._process is None:
            return 0
        if how == signal.SIGKILL:
            os.killpg(self._process.pid, how)
        else:
            self._process.send_signal(how)
        return self._process.wait(60)

    def ask(self, path: str, method: str = "GET") -> Any:  # noqa: ANN401 - JSON
        """The answer, or None where there is none."""
        try:
            with urlopen(Request(self._url + path, method=method), timeout=120) as answer:
                return json.load(answer)
        except (URLError, OSError, ValueError):
            return None

    def settled(self, readings: int) -> bool:
        """Is everything in its file? What came for an hour that is still open is put there at once."""
        self.ask("/storage/flush?wait=60", "POST")
        found = self.ask("/storage/stats")
        counts = found["counts"] if found else {}
        return counts.get("stored_readings", 0) >= readings and counts.get("waiting_readings") == 0


def main() -> int:
    """Run it all."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--messages", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--azurite", action="store_true")
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder)
        cache = cache_folder(os.environ)
        with EmbeddedBroker(root / "kafka", cache=cache) as broker, ExitStack() as stack:
            cold = {"COLD_STORE_URL": (root / "cold").as_uri()}
            if chosen.azurite:
                cold = stack.enter_context(Azurite(root / "azurite", cache=cache)).settings
            outcome = _run(root, broker.bootstrap_servers, cold, chosen)
    print(json.dumps(outcome))
    return 0 if outcome["good"] else 1


def _run(root: Path, servers: str, cold: dict[str, str], chosen: argparse.Namespace) -> dict[str, Any]:
    environment = {
        **os.environ,
        "KAFKA_BOOTSTRAP_SERVERS": servers,
        "LOCAL_STORAGE_PATH": str(root / "data" / "raw"),
        **cold,
        "UPLOAD_INTERVAL_SECONDS": "2",
        "SEAL_GRACE_SECONDS": "0",
        "BUFFER_FLUSH_INTERVAL_SECONDS": "2",
        "CLEANUP_AGE_DAYS": "0",
        "SERVICE_PORT": str(_free_port()),
        "LOG_FORMAT": "json",
    }
    service = Service(environment, root / "log")
    chance = random.Random(chosen.seed)
    plants = []
    for number in range(chosen.kills):
        words = ("--rate", "max", "--form", "mixed", "--faults", "--seed", str(chosen.seed + number))
        count = str(chosen.messages // chosen.kills)
        plants.append(_verb(environment, "simulate", "--messages", count, *words)["summary"])
        service.start()
        _wait(lambda: service.ask("/health/live") is not None, 60)
        end = time.monotonic() + chance.uniform(0.5, 5)
        while time.monotonic() < end:
            service.ask(f"/{chance.choice(['upload', 'cleanup', 'upload'])}/trigger?wait=0", "POST")
            time.sleep(chance.uniform(0, 0.3))
        service.end(signal.SIGKILL)
    service.start()
    told = _wait(lambda: _steady(service), 300)
    service.ask("/upload/trigger?wait=120", "POST")
    service.ask("/cleanup/trigger?wait=120", "POST")
    before = _answers(service)
    left = service.ask("/storage/stats")["counts"]["hour_files"]
    service.end(signal.SIGTERM)
    first = _verb(environment, "verify", "--cold", "--full", "--against-kafka")
    shutil.rmtree(root / "data")
    began = time.monotonic()
    restored = _verb(environment, "restore", "--rewind")
    seconds = round(time.monotonic() - began, 1)
    service.start()
    _wait(lambda: service.settled(told), 300)
    service.ask("/upload/trigger?wait=120", "POST")
    after = _answers(service)
    only_here = service.ask("/storage/stats")["cold"]["oldest_waiting_hour"]
    service.end(signal.SIGTERM)
    last = _verb(environment, "verify", "--cold", "--full", "--against-kafka")
    good = first["code"] == last["code"] == restored["code"] == 0 and before == after and bool(before)
    good &= only_here is None and told == sum(plant["readings_acknowledged"] for plant in plants)
    return {
        "good": good,
        "kills": chosen.kills,
        "stored_readings": told,
        "acknowledged_readings": sum(plant["readings_acknowledged"] for plant in plants),
        "store": "azurite" if chosen.azurite else "folder",
        "local_files_left_by_cleanup": left,
        "restore_seconds": seconds,
        "restore": restored["summary"],
        "oldest_hour_only_here": only_here,
        "answers_equal": before == after,
        "answers": sum(map(len, before)),
        "verify_before": _short(first),
        "verify_after": _short(last),
        "errors": [done["text"] for done in (first, restored, last) if done["code"]],
    }


def _steady(service: Service) -> int:
    """How many readings are stored once everything is in its file and nothing more comes; else 0."""
    service.ask("/storage/flush?wait=60", "POST")
    found = service.ask("/storage/stats")
    counts = found["counts"] if found else {}
    stored: int = counts.get("stored_readings", 0)
    if not stored or counts.get("waiting_readings") != 0:
        return 0
    time.sleep(5)
    found = service.ask("/storage/stats")
    return stored if found and found["counts"]["stored_readings"] == stored else 0


def _answers(service: Service) -> list[list[Any]]:
    """Raw readings and minutes of some sensors."""
    latest = service.ask("/latest?limit=5")
    found = []
    for one in latest["readings"] if latest else ():
        who = f"asset={one['asset_id']}&sensor={one['sensor_name']}&start=-30d"
        for how in ("resolution=raw&addresses=true&max_points=100000", "resolution=minute"):
            answer = service.ask(f"/query?{who}&{how}")
            found.append(answer["rows"] if answer else [])
    return found


def _wait(done: Callable[[], Any], seconds: float) -> Any:  # noqa: ANN401 - whatever was waited for
    end = time.monotonic() + seconds
    while not (found := done()):
        if time.monotonic() > end:
            raise TimeoutError(f"not within {seconds} s")
        time.sleep(0.3)
    return found


def _verb(environment: dict[str, str], *words: str) -> dict[str, Any]:
    done = subprocess.run(
        [*_PROGRAM, *words, "--json"], env=environment, capture_output=True, text=True, check=False
    )
    lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
    summary = next((line for line in lines if line.get("type") == "summary"), {})
    return {"code": done.returncode, "summary": summary, "text": (done.stdout + done.stderr)[-2000:]}


def _short(done: dict[str, Any]) -> dict[str, Any]:
    names = ("clean", "findings", "readings", "files", "cold_files", "cold")
    return {name: done["summary"].get(name) for name in names}


if __name__ == "__main__":
    sys.exit(main())
