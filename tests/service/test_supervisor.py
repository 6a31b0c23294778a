"""When a worker that has ended is started again."""

import pytest

from sensor_storage.supervisor import plan_backoff


@pytest.mark.parametrize(
    ("ran", "before", "wait"),
    [(3600, 0, 0), (10, 16, 0), (9.9, 0, 1), (1, 1, 2), (1, 2, 4), (1, 16, 30), (1, 30, 30)],
)
def test_a_worker_that_was_steady_comes_back_at_once_and_one_that_keeps_ending_ever_later(
    ran: float, before: float, wait: float
) -> None:
    assert plan_backoff(ran, before) == wait
