"""Read all settings once: command line over environment over `.env` over TOML over default."""

from collections.abc import Mapping
from pathlib import Path

from pydantic import ValidationError

from sensor_storage.config.entries import Entry, entries
from sensor_storage.config.kinds import expanded
from sensor_storage.config.relations import broken_relations, doubts
from sensor_storage.config.settings import Settings
from sensor_storage.config.sources import (
    CONFIG_FILE_VARIABLE,
    Given,
    read_env_file,
    read_environment,
    read_toml,
)
from sensor_storage.errors import Usage
from sensor_storage.secrecy import without_secrets

DEFAULT_ENV_FILE = Path(".env")


def load(
    environ: Mapping[str, str],
    *,
    env_file: Path | None = None,
    config_file: Path | None = None,
    overrides: Mapping[str, str] | None = None,
) -> Settings:
    """The settings in force, each with its origin; raises `Usage` that tells everything wrong at once.

    `env_file` is `.env` in the working directory, if there is one, unless named. `config_file` is a TOML
    file, by default the one `SENSOR_STORAGE_CONFIG` names. `overrides` are variables of the command line.
    """
    sources = _read(environ, env_file, config_file, overrides or {})
    problems = [problem for source in sources for problem in source.problems]
    values = {name: value for source in sources for name, value in source.values.items()}
    origins = {name: origin for source in sources for name, origin in source.origins.items()}
    warnings = tuple(dict.fromkeys(warning for source in sources for warning in source.warnings))
    wrong = _wrong(values)
    problems += [_told(entries()[name], values[name], origins[name], why) for name, why in wrong.items()]
    good = {name: value for name, value in values.items() if name in entries() and name not in wrong}
    settings = Settings.model_validate(_tree(good) | {"origins": origins, "warnings": warnings})
    problems += broken_relations(settings, doubtful=frozenset(wrong))
    if problems:
        raise _usage(problems)
    return settings.model_copy(update={"warnings": (*warnings, *doubts(settings))})


def _read(
    environ: Mapping[str, str],
    env_file: Path | None,
    config_file: Path | None,
    overrides: Mapping[str, str],
) -> list[Given]:
    """The sources, the weakest first."""
    environment, dotenv, toml, command_line = read_environment(environ), Given(), Given(), Given()
    if env_file is not None or DEFAULT_ENV_FILE.is_file():
        dotenv = read_env_file(env_file or DEFAULT_ENV_FILE)
    named = environ.get(CONFIG_FILE_VARIABLE) or dotenv.values.pop(CONFIG_FILE_VARIABLE, None)
    dotenv.values.pop(CONFIG_FILE_VARIABLE, None)
    dotenv.origins.pop(CONFIG_FILE_VARIABLE, None)
    if config_file or named:
        toml = read_toml(config_file or _named(str(named)))
    for name, value in overrides.items():
        command_line.take(name, value, "command line")
    return [toml, dotenv, environment, command_line]


def _named(path: str) -> Path:
    try:
        return expanded(path)
    except ValueError as error:
        raise Usage(f"{CONFIG_FILE_VARIABLE}={path}: {error}", hint="name a file that is there") from None


def _tree(values: Mapping[str, object]) -> dict[str, object]:
    tree: dict[str, dict[str, object]] = {}
    for name, value in values.items():
        tree.setdefault(entries()[name].room, {})[name] = value
    return dict(tree)


def _wrong(values: Mapping[str, object]) -> dict[str, str]:
    """The variables whose values break their rule, each with the reason where it says more than the rule."""
    try:
        Settings.model_validate(_tree(values))
    except ValidationError as error:
        found: dict[str, str] = {}
        for one in error.errors(include_url=False, include_input=False):
            own = one["type"] == "value_error"
            found.setdefault(str(one["loc"][1]), str(one["ctx"]["error"]) if own else "")
        return found
    return {}


def _told(entry: Entry, value: object, origin: str, why: str) -> str:
    shown = "" if entry.secret else f", not {_shortened(without_secrets(ascii(value)))}"
    reason = f": {without_secrets(why)}" if why else ""
    return f"{entry.name} must be {entry.rule}{shown} ({origin}){reason}"


def _shortened(text: str, most: int = 120) -> str:
    return text if len(text) <= most else text[:most] + "…"


def _usage(problems: list[str]) -> Usage:
    hint = (
        "`sensor-storage config docs` lists every setting; `config show` tells where each value comes from."
    )
    if len(problems) == 1:
        return Usage(problems[0], hint=hint)
    lines = "".join(f"\n  {problem}" for problem in problems)
    return Usage(f"{len(problems)} things are wrong in the settings:{lines}", hint=hint)
