"""What the verbs that ask for readings share: whom they ask, and for what."""

import functools
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar, get_args

import click

from sensor_storage.client import Plant, Rows, connect
from sensor_storage.config import load
from sensor_storage.main import aggregate_policy, build_store
from sensor_storage.query.question import ALL, Asked
from sensor_storage.verbs.options import Output, data_layout, tell_warnings

_Verb = TypeVar("_Verb", bound=Callable[..., Any])


def plant_options(verb: _Verb) -> _Verb:
    """Give a verb `--data`, `--url`, `--config`, `--env-file` and the argument `plant`."""

    @click.option(
        "--data",
        type=click.Path(file_okay=False, path_type=Path),
        metavar="DIR",
        help="The data directory, the parent of raw/; by default that of LOCAL_STORAGE_PATH.",
    )
    @click.option("--url", metavar="URL", help="Ask the service there instead, such as http://host:8080.")
    @click.option("--config", "config_file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @click.option("--env-file", type=click.Path(exists=True, dir_okay=False, path_type=Path))
    @functools.wraps(verb)
    def wrapped(
        *args: Any,  # noqa: ANN401
        data: Path | None,
        url: str | None,
        config_file: Path | None,
        env_file: Path | None,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        if url and data:
            raise click.UsageError("--url and --data name two places; give one")
        if url and not url.startswith(("http://", "https://")):
            raise click.UsageError("--url begins with http:// or https://")
        if url:
            return verb(*args, plant=connect(url), **options)
        overrides = {"LOCAL_STORAGE_PATH": str(data.absolute() / "raw")} if data else {}
        settings = load(os.environ, env_file=env_file, config_file=config_file, overrides=overrides)
        tell_warnings(settings)
        plant: Plant = connect(
            data_layout(settings).root,
            parameters=aggregate_policy(settings).parameters,
            cold_store=build_store(settings),
        )
        return verb(*args, plant=plant, **options)

    return wrapped  # type: ignore[return-value]  # the argument `plant` is given here


def tell(output: Output, rows: Rows, told: int = 0) -> int:
    """Warn of what is behind the first `told` warnings of an answer; how many there are."""
    warnings = rows.meta.get("warnings", ())
    for warning in warnings[told:]:
        output.warn(warning)
    return len(warnings)


def question_options(verb: _Verb) -> _Verb:
    """Give a verb the arguments ASSET and SENSOR and the options of a question, as the argument `asked`."""

    @click.argument("asset", default=ALL)
    @click.argument("sensor", default=ALL)
    @click.option("--start", default="-1h", show_default=True, help="ISO 8601, epoch number, or such as -6h.")
    @click.option("--end", default="now", show_default=True, help="Likewise; not included.")
    @click.option("--resolution", type=click.Choice(get_args(Asked)), default="auto", show_default=True)
    @click.option("--max-points", type=click.IntRange(min=8), help="Of a sensor; raw is thinned to it by M4.")
    @click.option("--tz", default="UTC", show_default=True, help="Zone of days and of times without offset.")
    @click.option("--addresses", is_flag=True, help="Raw readings with their Kafka address.")
    @functools.wraps(verb)
    def wrapped(
        *args: Any,  # noqa: ANN401
        start: str,
        end: str,
        resolution: Asked,
        max_points: int | None,
        tz: str,
        addresses: bool,
        **options: Any,  # noqa: ANN401
    ) -> Any:  # noqa: ANN401
        asked = {
            "start": start,
            "end": end,
            "resolution": resolution,
            "max_points": max_points,
            "tz": tz,
            "addresses": addresses,
        }
        return verb(*args, asked=asked, **options)

    return wrapped  # type: ignore[return-value]  # the argument `asked` is given here
