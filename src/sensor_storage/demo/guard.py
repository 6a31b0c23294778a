"""Runs one program that must not outlive the process that started this one.

`python -m sensor_storage.demo.guard PROGRAM ARGUMENT…`, with a pipe as stdin of which the starter keeps the
other end and never writes to it. The program ends with the starter however that ends, `kill -9` included,
because the kernel closes the pipe. Where a fork of the starter keeps the pipe open, the new parent tells.

SIGTERM is passed on, and the program may take its time; closing the pipe kills it. Exits as the program does.
"""

import ctypes
import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from types import FrameType

_LOOK_AT_PARENT_SECONDS = 0.5
_PR_SET_PDEATHSIG = 1


def guard(command: list[str]) -> int:
    """Run the command until it ends or its reason to live does; gives its exit code."""
    starter = os.getppid()
    wake_read, wake_write = os.pipe()
    os.set_blocking(wake_write, False)
    signal.set_wakeup_fd(wake_write, warn_on_full_buffer=False)
    program = _start(command)

    def pass_on(_number: int, _frame: FrameType | None) -> None:
        program.terminate()

    signal.signal(signal.SIGTERM, pass_on)
    signal.signal(signal.SIGCHLD, lambda _number, _frame: None)  # only to wake the wait below
    while program.poll() is None:
        readable, _, _ = select.select([sys.stdin.fileno(), wake_read], [], [], _LOOK_AT_PARENT_SECONDS)
        if wake_read in readable:
            os.read(wake_read, 4096)
        if sys.stdin.fileno() in readable or os.getppid() != starter:
            program.kill()
            program.wait()
    return program.returncode if program.returncode >= 0 else 128 - program.returncode


def _start(command: list[str]) -> subprocess.Popen[bytes]:
    # This process has one thread, which is what a preexec function and the death signal both ask for.
    return subprocess.Popen(command, stdin=subprocess.DEVNULL, preexec_fn=_die_with_parent())  # noqa: PLW1509


def _die_with_parent() -> Callable[[], None] | None:
    """For the case that somebody kills the guard itself; Linux only."""
    if sys.platform != "linux":
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent = os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:
            os._exit(1)

    return ask_kernel


if __name__ == "__main__":
    sys.exit(guard(sys.argv[1:]))
