"""End the service by SIGTERM at random moments, in half of them with broker and cold store hanging.

`make proof-end`, or `python scripts/sigterm.py --rounds 50 --seed 1`. A real broker, a real Azurite and the whole
service, with readings arriving all the time. In every second round both are stopped (SIGSTOP: connections stay open
and nothing answers, which is worse than a refusal) up to two seconds before the signal. The moments begin when the
process hears the signal; Python does not while it starts, and nothing of ours has run yet. Each end must be with
exit 0 within 30 seconds; after the last round everything is read, and `verify --full` and the counts must agree.
"""

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, nullcontext
from itertools import islice
from pathlib import Path
from threading import Event, Thread

import psutil
from proof import count_tree, wait_until_received

from sensor_storage.demo.azurite import Azurite
from sensor_storage.demo.broker import EmbeddedBroker
from sensor_storage.demo.kafka_jars import cache_folder
from sensor_storage.demo.messages import SENSIBLE_FAULTS, plant_messages
from sensor_storage.demo.plant import SECOND, Plant
from sensor_storage.demo.simulate import Publisher
from sensor_storage.storage.layout import Layout

_START_US = 1_767_225_600 * SECOND
_CHUNK_MESSAGES = 2_000
_LIMIT_SECONDS = 30.0
_SERVICE = [sys.executable, "-m", "sensor_storage"]


def prove(root: Path, rounds: int, seed: int) -> dict[str, object]:
    """Start, wait, signal, wait, again and again; then count."""
    rng = random.Random(seed)
    ends: list[tuple[bool, int, float]] = []
    began = time.monotonic()
    with ExitStack() as stack:
        broker = stack.enter_context(EmbeddedBroker(root / "kafka", cache=cache_folder(os.environ)))
        azurite = stack.enter_context(Azurite(root / "azurite", cache=cache_folder(os.environ)))
        log = stack.enter_context((root / "service.log").open("ab"))
        environment = {
            **os.environ,
            "KAFKA_BOOTSTRAP_SERVERS": broker.bootstrap_servers,
            **azurite.settings,
            "UPLOAD_INTERVAL_SECONDS": "1",
            "LOCAL_STORAGE_PATH": str(root / "raw"),
            "BUFFER_FLUSH_INTERVAL_SECONDS": "2",
            "SERVICE_PORT": "0",
            "CLEANUP_ENABLED": "false",  # what is counted at the end is here
        }
        others = [one for one in psutil.Process().children() if one.pid]
        publisher = Publisher(broker.bootstrap_servers)
        with _publishing(publisher, seed):
            for number in range(rounds):
                dead = number % 2 == 1
                service = subprocess.Popen(
                    [*_SERVICE, "run"], env=environment, stdin=subprocess.DEVNULL, stdout=log, stderr=log
                )
                try:
                    _wait_until_it_hears(service)
                    time.sleep(rng.uniform(0, 8.0))
                    with _hanging(others) if dead else nullcontext():
                        time.sleep(rng.uniform(0, 2.0) if dead else 0)
                        ends.append((dead, *_ended(service)))
                finally:
                    if service.poll() is None:
                        service.kill()
                print(
                    f"{number}: {'dead' if dead else 'alive'}: exit {ends[-1][1]} in {ends[-1][2]} s",
                    flush=True,
                )
        report = publisher.flush()
        service = subprocess.Popen([*_SERVICE, "run"], env=environment, stdout=log, stderr=log)
        wait_until_received(Layout(root / "raw"), report)
        compacted = subprocess.run(
            [*_SERVICE, "compact"], env=environment, stdout=log, stderr=log, check=False
        )
        last = _ended(service)
        verified = subprocess.run(
            [*_SERVICE, "verify", "--full"], env=environment, stdout=log, stderr=log, check=False
        )
    rows, distinct, letters = count_tree(root)
    by_state = {
        state: [seconds for dead, _, seconds in ends if dead == (state == "dead")]
        for state in ("alive", "dead")
    }
    return {
        "rounds": rounds,
        "exits_not_0": sum(status != 0 for _, status, _ in ends),
        "longest_seconds": {state: max(seconds, default=0) for state, seconds in by_state.items()},
        "median_seconds": {
            state: sorted(some)[len(some) // 2] if some else 0 for state, some in by_state.items()
        },
        "acknowledged_readings": report.readings_acknowledged,
        "stored_rows": rows,
        "stored_readings": distinct,
        "expected_dead_letters": report.dead_letters_expected,
        "dead_letters": letters,
        "compact_exit": compacted.returncode,
        "last_exit": last[0],
        "verify_exit": verified.returncode,
        "seconds": round(time.monotonic() - began),
    }


def _wait_until_it_hears(service: "subprocess.Popen[bytes]") -> None:
    status = Path(f"/proc/{service.pid}/status")
    while service.poll() is None:
        caught = next(line for line in status.read_text().splitlines() if line.startswith("SigCgt:"))
        if int(caught.split()[1], 16) >> (signal.SIGTERM - 1) & 1:
            return
        time.sleep(0.01)


def _ended(service: "subprocess.Popen[bytes]") -> tuple[int, float]:
    """Exit status and seconds; -1 where it has not ended in twice the time."""
    began = time.monotonic()
    service.terminate()
    try:
        status = service.wait(2 * _LIMIT_SECONDS)
    except subprocess.TimeoutExpired:
        status = -1
    return status, round(time.monotonic() - began, 1)


@contextmanager
def _hanging(processes: list[psutil.Process]) -> Iterator[None]:
    """These, and what they started, hold still."""
    held = [one for parent in processes for one in (parent, *parent.children(recursive=True))]
    for one in held:
        one.suspend()
    try:
        yield
    finally:
        for one in held:
            one.resume()


@contextmanager
def _publishing(publisher: Publisher, seed: int) -> Iterator[None]:
    """A plant of a thousand sensors, some messages bad, at a leisurely pace until the block ends."""
    stop = Event()
    messages = plant_messages(
        Plant(100, 10, seed=seed),
        _START_US,
        _START_US + 365 * 86_400 * SECOND,
        form="mixed",
        faults=SENSIBLE_FAULTS,
    )
    first = list(islice(messages, _CHUNK_MESSAGES))
    publisher.ensure_topics(sorted({message.topic for message in first}), 4)

    def publish() -> None:
        publisher.publish(first)
        while not stop.wait(0.2):
            publisher.publish(list(islice(messages, _CHUNK_MESSAGES)))

    thread = Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()


def main() -> int:
    """Exit 1 when an end was late or unclean, or a reading is missing or double."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=50)
    parser.add_argument("--seed", type=int, default=1)
    chosen = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        found = prove(Path(folder), chosen.rounds, chosen.seed)
    print(json.dumps(found))
    slowest = max(found["longest_seconds"].values())  # type: ignore[attr-defined]
    counts = {found["acknowledged_readings"], found["stored_rows"], found["stored_readings"]}
    good = (
        not found["exits_not_0"]
        and slowest <= _LIMIT_SECONDS
        and len(counts) == 1
        and found["dead_letters"] == found["expected_dead_letters"]
        and found["verify_exit"] == 0
    )
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
