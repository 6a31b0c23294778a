"""What stands in the files for containers and Kubernetes, as data."""

import functools
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).parents[2]
BIN = Path(sys.executable).parent


def tool(name: str, *words: str) -> "subprocess.CompletedProcess[str]":
    """Run a tool of this environment in the checkout."""
    return subprocess.run(  # noqa: S603 - tools of the lock
        [BIN / name, *words], cwd=ROOT, capture_output=True, text=True, check=False, timeout=110
    )


@functools.cache
def rendered(overlay: str) -> tuple[dict[str, Any], ...]:
    """The objects `make k8s-deploy OVERLAY=…` applies."""
    done = tool("kubectl", "kustomize", f"deployment/{overlay}")
    assert done.returncode == 0, done.stderr
    return tuple(one for one in yaml.safe_load_all(done.stdout) if one)


def only(objects: tuple[dict[str, Any], ...], kind: str, name: str = "sensor-storage") -> dict[str, Any]:
    """The one object of that kind and name; generated names have a digest behind them."""
    (found,) = [
        one
        for one in objects
        if one["kind"] == kind
        and (
            one["metadata"]["name"] == name
            or (kind == "ConfigMap" and one["metadata"]["name"].startswith(name))
        )
    ]
    return found


def loaded(path: str) -> Any:  # noqa: ANN401 - YAML
    """A YAML file of the checkout."""
    return yaml.safe_load((ROOT / path).read_text())
