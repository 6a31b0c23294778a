"""When to stop fetching: a full disk or a full staging area must end in a pause, never in a loss."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Disk shares are of the file system's size; between low and high nothing changes."""

    disk_high: float
    disk_low: float
    staging_max_bytes: int
    dead_letters_max_bytes: int


def pause_reason(
    limits: Limits,
    *,
    paused: bool,
    disk_used: float,
    staging_bytes: int,
    dead_letter_bytes: int,
    disk_full: bool,
) -> str:
    """Why to consume nothing now, as a sentence for people; empty to go on."""
    if disk_full:
        return "the data disk is full"
    if disk_used >= (limits.disk_low if paused else limits.disk_high):
        return f"the data disk is {disk_used:.0%} full"
    if staging_bytes >= limits.staging_max_bytes * (0.8 if paused else 1.0):
        return f"{staging_bytes:,} bytes wait in staging to be compacted"
    if dead_letter_bytes >= limits.dead_letters_max_bytes:
        return f"dead letters take {dead_letter_bytes:,} bytes; mend the producer and raise DEAD_LETTERS_MAX_BYTES"
    return ""
