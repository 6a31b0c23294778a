"""What KEDA and Prometheus' operator add to Kubernetes, by models made from the definitions they publish."""

from importlib import import_module
from typing import Any, Final

_MODULES: Final = {
    "PrometheusRule": "cloudcoil.models.prometheus_operator.v1",
    "ScaledObject": "cloudcoil.models.keda.v1alpha1",
    "ServiceMonitor": "cloudcoil.models.prometheus_operator.v1",
}
"""By kind. They take seconds to load, so only whoever asks loads them."""
KINDS: Final = _MODULES.keys()


def validate(one: dict[str, Any]) -> None:
    """Is the object as its operator takes it? ValueError where not, and for a field that it does not know."""
    kind = one["kind"]
    model = getattr(import_module(_MODULES[kind]), kind)
    understood = model.model_validate(one).model_dump(mode="json", by_alias=True, exclude_unset=True)
    if understood != one:
        raise ValueError(f"of this {kind} an operator only understands {understood}")
