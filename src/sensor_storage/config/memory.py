"""What a process may hold at once, derived from `MEMORY_LIMIT`."""

from dataclasses import dataclass

DEFAULT_LIMIT_BYTES = 512_000_000
_PROGRAM_BYTES = 160_000_000
"""What a worker takes before it holds a single reading: Python, its libraries, the allocator's slack."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bounds that together keep a worker within the limit; at 512 MB they are the values that were measured."""

    fetch_queue_kilobytes: int
    segment_bytes: int
    merge_rows: int
    index_entries: int


def plan_memory(limit_bytes: int) -> MemoryPlan:
    """The bounds for a worker that may use so much; they grow with what the program itself leaves."""
    share = max(limit_bytes - _PROGRAM_BYTES, 0) / (DEFAULT_LIMIT_BYTES - _PROGRAM_BYTES)
    return MemoryPlan(
        fetch_queue_kilobytes=round(32_768 * share),
        segment_bytes=round(64_000_000 * share),
        merge_rows=round(400_000 * share),
        index_entries=round(1_500_000 * share),
    )
