"""Carry out the Dockerfile without an engine: its steps in a fresh folder, then the service by the image's command.

    .venv/bin/python scripts/replay_dockerfile.py [--folder DIR] [--seconds 20]

Folders of the image (/build, /opt, /data) become folders below DIR, and the base image's Python is this one. What
needs an image of its own (users, VOLUME, EXPOSE) is left out. Then ENTRYPOINT and CMD are started with the image's
environment and no other, HEALTHCHECK is asked until it answers, and SIGTERM must end it with 0. At last: its size,
compressed.
"""

import argparse
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
IMAGE_FOLDERS = ("/build", "/opt", "/data")
NEEDS_AN_IMAGE = ("groupadd", "useradd")


@dataclass
class Image:
    """What the steps have made: the environment, the folder they run in, and how the image starts."""

    folder: Path
    environment: dict[str, str] = field(default_factory=dict)
    workdir: str = "/"
    entrypoint: list[str] = field(default_factory=list)
    command: list[str] = field(default_factory=list)
    health: list[str] = field(default_factory=list)
    arguments: dict[str, str] = field(default_factory=dict)

    def here(self, text: str) -> str:
        """The text with the image's folders as folders below ours."""
        return re.sub(rf"(?<![\w./-])({'|'.join(IMAGE_FOLDERS)})(?=[/\s:]|$)", rf"{self.folder}\1", text)


def instructions(text: str) -> list[tuple[str, str]]:
    """The Dockerfile's instructions with their arguments, continuation lines joined."""
    lines = "\n".join(
        line for line in text.splitlines() if line.strip() and not line.lstrip().startswith("#")
    )
    joined = re.sub(r"\\\n\s*", "", lines)
    return [
        (name.upper(), rest.strip())
        for name, _, rest in (line.partition(" ") for line in joined.splitlines())
    ]


def replay(image: Image) -> None:
    """Every step in order."""
    for name, rest in instructions((ROOT / "Dockerfile").read_text()):
        print(f"{name} {rest[:110]}", flush=True)
        if name in STEPS:
            STEPS[name](image, rest)
        elif name not in {"ARG", "LABEL", "USER", "VOLUME", "EXPOSE", "STOPSIGNAL"}:
            raise SystemExit(f"this script does not know {name}")


def begin(image: Image, _: str) -> None:
    """FROM: an environment of nothing but the base's."""
    path = f"{Path(sys.executable).resolve().parent}:{os.environ['PATH']}"
    image.environment, image.workdir = {"PATH": path, "HOME": str(image.folder)}, "/build"


def set_environment(image: Image, rest: str) -> None:
    """ENV."""
    for word in shlex.split(rest):
        key, _, value = word.partition("=")
        image.environment[key] = image.here(value.replace("$PATH", image.environment["PATH"]))


def enter(image: Image, rest: str) -> None:
    """WORKDIR."""
    image.workdir = rest
    Path(image.here(rest)).mkdir(parents=True, exist_ok=True)


def copy(image: Image, rest: str) -> None:
    """COPY from the checkout; between stages the folders are the same here."""
    words = shlex.split(rest)
    if words[0].startswith("--from="):
        if words[1] != words[2]:
            raise SystemExit("this script copies between stages only what keeps its place")
        return
    *sources, target = words
    folder = Path(image.here(image.workdir)) / target
    for source in sources:
        if (ROOT / source).is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(ROOT / source, folder, dirs_exist_ok=True, ignore=ignored)
        else:
            folder.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / source, folder)


def run(image: Image, line: str) -> None:
    """RUN, unless it makes users."""
    if line.startswith(NEEDS_AN_IMAGE):
        print("  left out: it needs an image")
        return
    workdir = image.here(image.workdir)
    subprocess.run(["/bin/sh", "-euc", image.here(line)], cwd=workdir, env=image.environment, check=True)


def note_start(image: Image, rest: str) -> None:
    """ENTRYPOINT."""
    image.entrypoint = json.loads(rest)


def note_command(image: Image, rest: str) -> None:
    """CMD."""
    image.command = json.loads(rest)


def note_health(image: Image, rest: str) -> None:
    """HEALTHCHECK."""
    image.health = json.loads(rest.partition("CMD ")[2])


STEPS: dict[str, Callable[[Image, str], None]] = {
    "FROM": begin,
    "ENV": set_environment,
    "WORKDIR": enter,
    "COPY": copy,
    "RUN": run,
    "ENTRYPOINT": note_start,
    "CMD": note_command,
    "HEALTHCHECK": note_health,
}


def start_and_stop(image: Image, seconds: float) -> None:
    """The image's own command, health check and stop signal."""
    Path(image.here("/data")).mkdir(exist_ok=True)
    words = [*image.entrypoint, *image.command]
    program = shutil.which(words[0], path=image.environment["PATH"])
    if program is None or not program.startswith(str(image.folder)):
        raise SystemExit(f"{words[0]} is {program}, which is not the image's")
    environment = {**image.environment, "SERVICE_PORT": os.environ.get("SERVICE_PORT", "8080"),
                   "SERVICE_HOST": "127.0.0.1"}  # fmt: skip
    log = (image.folder / "service.log").open("wb")
    service = subprocess.Popen(words, env=environment, cwd=image.here("/data"), stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + seconds
        while subprocess.run(image.health, env=environment, capture_output=True, check=False).returncode:
            if time.monotonic() > deadline or service.poll() is not None:
                raise SystemExit(f"not healthy: {(image.folder / 'service.log').read_text()[-2000:]}")
            time.sleep(0.5)
        print("healthy")
        service.send_signal(signal.SIGTERM)
        if service.wait(35) != 0:
            raise SystemExit(f"it ended with {service.returncode}")
        print("ended with 0 on SIGTERM")
    finally:
        service.kill()
        log.close()


def compressed_bytes(image: Image) -> int:
    """What the image adds to its base, as it would be pulled."""
    tar = ["tar", "--create", "--gzip", "--directory", image.here("/opt"), "."]
    with subprocess.Popen(tar, stdout=subprocess.PIPE) as made:
        return sum(
            len(piece) for piece in iter(partial((made.stdout or sys.stdin.buffer).read, 1 << 20), b"")
        )


def main() -> None:
    """Replay, start, stop, measure."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, help="kept afterwards; by default a temporary one")
    parser.add_argument("--seconds", type=float, default=60, help="until it must be healthy")
    given = parser.parse_args()
    folder = given.folder or Path(tempfile.mkdtemp(prefix="image-"))
    try:
        image = Image(folder.absolute())
        replay(image)
        start_and_stop(image, given.seconds)
        print(f"{compressed_bytes(image) / 1e6:.0f} MB compressed, the base not counted")
    finally:
        if not given.folder:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()
