"""The demo starts again what somebody kills, and says so."""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest


@pytest.fixture
def demo(tmp_path: Path) -> Iterator["subprocess.Popen[str]"]:
    command = [
        sys.executable,
        "-m",
        "sensor_storage",
        "demo",
        "--past",
        "0",
        "--data",
        str(tmp_path / "demo"),
    ]
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    yield process
    process.terminate()
    process.communicate(timeout=60)


def received(lines: Iterator[str]) -> int:
    """The readings that the next line of a demo with nothing amiss calls received."""
    for line in lines:
        if found := re.match(r"([\d,]+) received .* readings/s", line):
            return int(found[1].replace(",", ""))
    raise AssertionError("the demo ended")


def test_a_killed_broker_is_started_again_and_its_readings_go_on(demo: "subprocess.Popen[str]") -> None:
    assert demo.stdout
    lines = iter(demo.stdout)
    before = received(lines)
    (broker,) = [
        child
        for child in psutil.Process(demo.pid).children(recursive=True)
        if "kafka.Kafka" in child.cmdline() and "java" in Path(child.exe()).name
    ]

    broker.kill()

    assert any("Apache Kafka had ended" in line for line in lines)
    while received(lines) <= before:
        pass


def test_a_second_demo_in_the_same_folder_is_refused_and_the_first_goes_on(
    demo: "subprocess.Popen[str]", tmp_path: Path
) -> None:
    assert demo.stdout
    lines = iter(demo.stdout)
    before = received(lines)
    identity = (tmp_path / "demo" / "kafka" / "broker.json").read_text()
    second = subprocess.run(
        [sys.executable, "-m", "sensor_storage", "demo", "--data", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert (second.returncode, "a demo runs in" in second.stderr) == (5, True)
    assert (tmp_path / "demo" / "kafka" / "broker.json").read_text() == identity
    while received(lines) <= before:
        pass
