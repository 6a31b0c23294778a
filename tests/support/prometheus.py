"""A real Prometheus and its rule tester, as packages of the system bring them."""

import contextlib
import json
import socket
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from urllib.error import URLError
from urllib.parse import quote
from urllib.request import urlopen

import pytest
import yaml

from support.deployed import ROOT
from support.waiting import wait_until


def programs() -> Path:
    """The folder of `prometheus` and `promtool`; where they can't be had, a skip that says so."""
    found = subprocess.run(  # noqa: S603 - our own script
        [ROOT / "scripts" / "prometheus.sh"], capture_output=True, text=True, check=False
    )
    if found.returncode:
        pytest.skip(f"rules are not run: {found.stderr.strip()}")
    return Path(found.stdout.strip())


def free_port() -> int:
    """A port on which nobody listens."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


class Prometheus:
    """One that scrapes an address every second, and with rules that do not wait."""

    def __init__(self, port: int) -> None:
        self._address = f"http://127.0.0.1:{port}"

    def get(self, path: str) -> Any:  # noqa: ANN401 - JSON
        """What its API answers."""
        with urlopen(f"{self._address}/api/v1/{path}", timeout=10) as answer:  # noqa: S310 - our own address
            return json.load(answer)["data"]

    def ready(self) -> bool:
        """Does it answer?"""
        try:
            return bool(self.get("targets")["activeTargets"])
        except (URLError, OSError):
            return False

    def firing(self) -> set[str]:
        """The alerts that fire."""
        return {
            one["labels"]["alertname"] for one in self.get("alerts")["alerts"] if one["state"] == "firing"
        }

    def series(self, expression: str) -> list[Any]:
        """What an expression gives now."""
        found: list[Any] = self.get(f"query?query={quote(expression)}")["result"]
        return found


@contextlib.contextmanager
def scraping(folder: Path, target_port: int) -> Iterator[Prometheus]:
    """A Prometheus with the project's rules, every `for` taken away, that does not outlive the test."""
    port, program = free_port(), programs() / "prometheus"
    rules = {}
    for path in sorted((ROOT / "monitoring" / "rules").glob("*.yml")):
        content = yaml.safe_load(path.read_text())
        for group in content["groups"]:
            for rule in group["rules"]:
                rule.pop("for", None)
        rules[path.name] = content
    folder.mkdir()
    for name, content in rules.items():
        (folder / name).write_text(yaml.safe_dump(content))
    job = {"job_name": "sensor-storage", "static_configs": [{"targets": [f"127.0.0.1:{target_port}"]}]}
    every = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    settings = {"global": every, "rule_files": sorted(rules), "scrape_configs": [job]}
    (folder / "prometheus.yml").write_text(yaml.safe_dump(settings))
    words = [
        "--config.file=prometheus.yml",
        "--storage.tsdb.path=data",
        f"--web.listen-address=127.0.0.1:{port}",
    ]
    with (folder / "log").open("wb") as log:
        process = subprocess.Popen([program, *words], cwd=folder, stdout=log, stderr=log)  # noqa: S603
    try:
        one = Prometheus(port)
        wait_until(one.ready, f"Prometheus answers: {(folder / 'log').read_text()[-500:]}", seconds=30)
        yield one
    finally:
        process.terminate()
        process.wait(20)
