"""When a worker that has ended is started again."""

from pathlib import Path
from threading import Event, Thread

import pytest

from sensor_storage.clock import ManualClock
from sensor_storage.storage.layout import Layout
from sensor_storage.storage.processes import Board, read_processes
from sensor_storage.supervisor import Supervisor, plan_backoff
from support.waiting import wait_until


@pytest.mark.parametrize(
    ("ran", "before", "wait"),
    [(3600, 0, 0), (10, 16, 0), (9.9, 0, 1), (1, 1, 2), (1, 2, 4), (1, 16, 30), (1, 30, 30)],
)
def test_a_worker_that_was_steady_comes_back_at_once_and_one_that_keeps_ending_ever_later(
    ran: float, before: float, wait: float
) -> None:
    assert plan_backoff(ran, before) == wait


def test_a_worker_that_ends_again_and_again_is_on_the_board_with_its_last_exit(tmp_path: Path) -> None:
    layout, clock, stop = Layout(tmp_path / "raw"), ManualClock(), Event()
    (tmp_path / "sensor_storage.py").write_text("raise SystemExit(3)")
    with (tmp_path / "lock").open("w") as lock:
        supervisor = Supervisor(
            [("cold", [])],
            clock,
            lock.fileno(),
            {"PYTHONPATH": str(tmp_path)},
            board=Board(layout, clock),
        )
        thread = Thread(target=supervisor.run, args=(stop,), daemon=True)
        thread.start()
        try:
            for times in (1, 2, 3):
                wait_until(
                    lambda: [len(one.ends) for one in read_processes(layout)] == [times],  # noqa: B023
                    "it ends",
                )
                clock.advance(8)  # which is longer than each wait before it is started again
        finally:
            stop.set()
            thread.join(30)
    (cold,) = read_processes(layout)
    assert cold.error == "it ended with exit code 3"
    assert cold.is_troubled(clock.now())
