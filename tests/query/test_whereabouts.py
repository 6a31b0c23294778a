"""Where one message is, however many readings it holds."""

from pathlib import Path

from sensor_storage.clock import ManualClock
from sensor_storage.query.queries import Queries
from sensor_storage.query.whereabouts import MAX_READINGS
from sensor_storage.storage.layout import Layout
from support.trees import NOW, SOURCE, compactor, readings_of, stage


def test_of_a_message_with_very_many_readings_the_first_are_listed_and_any_can_be_asked_for(
    tmp_path: Path,
) -> None:
    layout, many = Layout(tmp_path / "data" / "raw"), MAX_READINGS + 200
    stage(layout, readings_of(range(2), fields=many), number=0, start=0, stop=2)
    queries = Queries(layout, ManualClock(NOW))
    for _ in ("staged", "in hour files"):
        found = queries.where(SOURCE.topic, SOURCE.partition, 1)
        assert (found.count, len(found.readings)) == (many, MAX_READINGS)
        one = queries.where(SOURCE.topic, SOURCE.partition, 1, many - 1)
        assert (one.count, [reading.index for reading in one.readings]) == (1, [many - 1])
        assert queries.where(SOURCE.topic, SOURCE.partition, 1, many).count == 0
        compactor(layout).run_once(NOW, NOW, flush=True)


def test_a_reading_in_the_middle_of_its_merge_counts_once(tmp_path: Path) -> None:
    layout = Layout(tmp_path / "data" / "raw")
    stage(layout, readings_of(range(2), fields=3), number=0, start=0, stop=2)
    segment = {path: path.read_bytes() for _, path in layout.staged_files()}
    compactor(layout).run_once(NOW, NOW, flush=True)
    for path, content in segment.items():  # merged, and not yet removed
        path.write_bytes(content)
    found = Queries(layout, ManualClock(NOW)).where(SOURCE.topic, SOURCE.partition, 1)
    assert (found.count, sorted(reading.index for reading in found.readings)) == (3, [0, 1, 2])
