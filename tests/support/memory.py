"""How much memory a process has held at most."""

from pathlib import Path


def peak_bytes(pid: int | str = "self") -> int:
    """The most a process has held in memory since its program began, in bytes; this one by default.

    `getrusage` would not do: a child's figure starts at its parent's (`getrusage(2)`, ru_maxrss after execve).
    """
    status = Path(f"/proc/{pid}/status").read_text()
    line = next(line for line in status.splitlines() if line.startswith("VmHWM:"))
    return int(line.split()[1]) * 1024
