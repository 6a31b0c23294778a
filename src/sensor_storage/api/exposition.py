"""The text Prometheus reads, of the samples of the moment."""

from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from typing import Final, TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily, HistogramMetricFamily, Metric
from prometheus_client.exposition import choose_encoder
from prometheus_client.registry import Collector

from sensor_storage.metrics import DEFINITIONS, Definition, Sample, Spread


class MetricsPage:
    """What Prometheus scrapes; `read` gives the samples of the moment."""

    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._registry = CollectorRegistry()
        self._registry.register(_Samples(read))

    def render(self, accept: str) -> tuple[bytes, str]:
        """The page and its media type: Prometheus' text format, or OpenMetrics when `accept` asks for it."""
        encode, media_type = choose_encoder(accept)
        return encode(self._registry), media_type


class _Samples(Collector):
    def __init__(self, read: Callable[[], Iterable[Sample]]) -> None:
        self._read = read

    def describe(self) -> Iterator[Metric]:
        """Every metric without samples, so that registering reads nothing."""
        return (_family(definition) for definition in DEFINITIONS)

    def collect(self) -> Iterator[Metric]:
        """Every metric, with the samples of the moment; one without samples still has its help."""
        families = {definition: _family(definition) for definition in DEFINITIONS}
        for sample in self._read():
            _add(families[sample.definition], sample)
        yield from families.values()


_Family: TypeAlias = CounterMetricFamily | GaugeMetricFamily | HistogramMetricFamily
_FAMILIES: Final[dict[str, type[_Family]]] = {
    "counter": CounterMetricFamily,
    "gauge": GaugeMetricFamily,
    "histogram": HistogramMetricFamily,
}


def _family(definition: Definition) -> _Family:
    return _FAMILIES[definition.kind](definition.name, definition.meaning, labels=definition.labels)


def _add(family: _Family, sample: Sample) -> None:
    """Prometheus wants of each bound all that were up to it."""
    value = sample.value
    if isinstance(family, HistogramMetricFamily) and isinstance(value, Spread):
        bounds = [*(str(float(bound)) for bound in sample.definition.bounds), "+Inf"]
        buckets = list(zip(bounds, accumulate(value.counts), strict=True))
        family.add_metric(sample.labels, buckets=buckets, sum_value=value.total)
    elif not isinstance(family, HistogramMetricFamily) and not isinstance(value, Spread):
        family.add_metric(sample.labels, value)
