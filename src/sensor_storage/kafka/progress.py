"""How far each partition has been read, what of it is durable, and what time that makes it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from sensor_storage.kafka.consumer import Partition


@dataclass(slots=True)
class Progress:
    """One partition: the next offset to read, the last Kafka time read (ms), and whether its end was reached."""

    position: int
    kafka_time: int | None = None
    at_end: bool = False


class Positions:
    """The progress of all assigned partitions."""

    def __init__(self) -> None:
        self._read: dict[Partition, Progress] = {}
        self.durable: dict[Partition, int] = {}
        self.epochs: dict[Partition, int] = {}
        """The leader epoch of the last message read; -1 where the broker tells none."""

    def __contains__(self, key: Partition) -> bool:
        """Is the partition assigned?"""
        return key in self._read

    def __len__(self) -> int:
        """How many are assigned."""
        return len(self._read)

    def start(self, key: Partition, offset: int, durable: int) -> None:
        """The partition is read from there. It is `durable` up to less while the gap before it is not recorded."""
        self._read[key] = Progress(offset)
        self.durable[key] = durable

    def drop(self, keys: Iterable[Partition]) -> None:
        """The partitions are no longer assigned."""
        for key in keys:
            self._read.pop(key, None)
            self.durable.pop(key, None)
            self.epochs.pop(key, None)

    def position(self, key: Partition) -> int:
        """The next offset to read."""
        return self._read[key].position

    def read(self, key: Partition, position: int, kafka_time: int, epoch: int) -> None:
        """Messages up to before `position` were taken in; the last had this time and leader epoch."""
        self.epochs[key] = epoch
        progress = self._read[key]
        progress.position = max(progress.position, position)
        progress.kafka_time = kafka_time
        progress.at_end = False

    def reached_end(self, key: Partition, position: int) -> None:
        """The partition has nothing more for now; trailing control records are passed over."""
        progress = self._read.get(key)
        if progress is not None:
            progress.position = max(progress.position, position)
            progress.at_end = True

    def all_durable(self) -> None:
        """Everything read so far is on disk."""
        self.durable = {key: progress.position for key, progress in self._read.items()}

    def watermark(self, now: float) -> float:
        """The least Kafka time consumed over the partitions that lag, in seconds; `now` where none lags."""
        lagging = [progress.kafka_time for progress in self._read.values() if not progress.at_end]
        if None in lagging:
            return 0.0
        return min([now, *(time / 1000 for time in lagging if time is not None)])

    def positions(self) -> Mapping[Partition, int]:
        """The next offset to read of each partition."""
        return {key: progress.position for key, progress in self._read.items()}
