"""What a process holds at once follows from MEMORY_LIMIT."""

import pytest

from sensor_storage.config.memory import DEFAULT_LIMIT_BYTES, plan_memory
from sensor_storage.kafka.ingest import IngestPolicy
from sensor_storage.storage.compact import WritePolicy


def test_the_default_limit_gives_the_values_that_were_measured() -> None:
    plan, ingest, write = plan_memory(DEFAULT_LIMIT_BYTES), IngestPolicy(), WritePolicy()
    assert (plan.segment_bytes, plan.merge_rows, plan.index_entries) == (
        ingest.max_bytes,
        write.block_rows,
        write.index_entries,
    )


@pytest.mark.parametrize("limit", [256_000_000, 1_000_000_000, 8_000_000_000])
def test_bounds_grow_with_the_limit_and_are_never_nothing(limit: int) -> None:
    plan, larger = plan_memory(limit), plan_memory(limit + 10_000_000)
    assert 0 < plan.fetch_queue_kilobytes < larger.fetch_queue_kilobytes
    assert 0 < plan.merge_rows < larger.merge_rows
    assert 0 < plan.index_entries < larger.index_entries
    assert 0 < plan.segment_bytes < larger.segment_bytes
