"""One owner a data directory: the lock, and the sockets on which the owner's workers answer.

A command that finds the directory owned asks the owner to do the work; only if the owner does not answer does
it end with `Owned`. The lock is held by every worker process that inherits its descriptor, so a directory is
free only when the last of them has ended.
"""

import fcntl
import hashlib
import json
import os
import socket
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import IO, Any

from sensor_storage.errors import Owned, SensorStorageError, Usage
from sensor_storage.storage.durable import Lock
from sensor_storage.storage.file_system import refuse_network
from sensor_storage.storage.layout import Layout

_LOCK = "owner.lock"
_MAX_SOCKET_PATH_BYTES = 100
_RETRY_SECONDS = 0.1


def own(layout: Layout, *, wait_seconds: float = 0) -> Lock:
    """Hold the directory's lock. Owned, with the owner's process id, when another process has it.

    Usage on a network file system, where the lock would keep nobody away.
    """
    file = _lock_file(layout, _LOCK)
    deadline = time.monotonic() + wait_seconds
    while not _locked(file):
        if time.monotonic() >= deadline:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            file.close()
            raise Owned(
                f"{layout.root} is in use by the service with process id {holder}",
                hint="stop that service, or give this one a directory of its own (LOCAL_STORAGE_PATH)",
            )
        time.sleep(_RETRY_SECONDS)
    file.seek(0)
    file.truncate()
    file.write(str(os.getpid()))
    file.flush()
    return Lock(file)


def alone(layout: Layout, act: str) -> Lock:
    """Be the only one who does this, whether or not a service owns the directory. Owned while another does."""
    file = _lock_file(layout, f"{act}.lock")
    if not _locked(file):
        file.close()
        raise Owned(f"{act}: another process does this on {layout.root}", hint="wait until it is done")
    return Lock(file)


def is_owned(layout: Layout) -> bool:
    """Does a running service hold the directory? On a network file system none does."""
    try:
        with own(layout):
            return False
    except Owned:
        return True
    except Usage:
        return False


def socket_path(layout: Layout, worker: str) -> Path:
    """Where a worker answers. Socket names have a short limit, so a long path moves to the temporary folder."""
    path = layout.run / f"{worker}.sock"
    if len(os.fsencode(path)) <= _MAX_SOCKET_PATH_BYTES:
        return path
    digest = hashlib.sha256(os.fsencode(path.resolve())).hexdigest()[:24]
    return Path(tempfile.gettempdir()) / f"sensor-storage-{digest}.sock"


def ask(
    layout: Layout, worker: str, verb: str, *, timeout_seconds: float = 600, **arguments: object
) -> dict[str, Any]:
    """Let a worker of the running service do something, and wait for its answer.

    Raises Owned when it does not answer; an answer with `error` is the caller's to report.
    """
    request = json.dumps({"verb": verb, **arguments}).encode() + b"\n"
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as link:
            link.settimeout(timeout_seconds)
            link.connect(str(socket_path(layout, worker)))
            link.sendall(request)
            with link.makefile("rb") as answers:
                answer: Mapping[str, Any] = json.loads(answers.readline())
    except (OSError, ValueError) as error:
        raise Owned(
            f"ask the running service ({worker}) to {verb}: {str(error) or 'no answer'}",
            hint="see the service's log; if it hangs, restart it",
        ) from error
    return dict(answer)


def have_done(
    layout: Layout, worker: str, verb: str, act: str, *, timeout_seconds: float = 600, **arguments: object
) -> dict[str, Any]:
    """As `ask`, for a verb of the command line: an answer with `error` is raised, as what could not be done."""
    answer = ask(layout, worker, verb, timeout_seconds=timeout_seconds, **arguments)
    if "error" in answer:
        raise SensorStorageError(
            f"the service could not {act}: {answer['error']}", hint=str(answer.get("hint", ""))
        )
    return answer


def _lock_file(layout: Layout, name: str) -> IO[str]:
    refuse_network(layout.root)
    layout.run.mkdir(parents=True, exist_ok=True)
    return (layout.run / name).open("a+")


def _locked(file: IO[str]) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
