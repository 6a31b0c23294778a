"""How long messages take from Kafka until they are durable."""

import numpy as np
from numpy.typing import NDArray

from sensor_storage.metrics import LATENCY

_MILLISECONDS = 1000


class Waits:
    """Counts them by the bounds of the metric, the last without one, and adds them up."""

    def __init__(self) -> None:
        self._counts = np.zeros(len(LATENCY.bounds) + 1, np.int64)
        self.seconds = 0.0

    @property
    def counts(self) -> tuple[int, ...]:
        """How many waited up to each bound and longer than the one before."""
        return tuple(self._counts.tolist())

    def add(self, timestamps: NDArray[np.int64], now: float) -> None:
        """Messages with these times of Kafka's, in ms, are durable now; one without a time says nothing."""
        waits = np.maximum(now * _MILLISECONDS - timestamps[timestamps > 0], 0.0) / _MILLISECONDS
        self._counts += np.bincount(np.searchsorted(LATENCY.bounds, waits), minlength=len(self._counts))
        self.seconds += float(waits.sum())
