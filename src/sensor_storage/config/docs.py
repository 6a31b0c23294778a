"""`docs/settings.md` and `.env.example`, made from the settings themselves."""

import textwrap
from collections.abc import Iterator

from sensor_storage.config.entries import Entry, entries, rooms
from sensor_storage.config.relations import RELATIONS

_HEAD = """\
# Settings

<!-- Generated: `sensor-storage config docs > docs/settings.md`. -->

Each setting is read once at start from, in order of strength: the environment, a `.env` file in the
working directory (or `--env-file`), a TOML file named by `SENSOR_STORAGE_CONFIG` (or `--config`), its
default. An empty value counts as not set. A wrong value ends the start with an error that names the
variable and its rule. An unknown name is an error in `.env` and in TOML; in the environment, a name that
is nearly one of these is a warning. `sensor-storage config show` prints the settings in force and where
each comes from.

In TOML, each room below is a table: `[ingest]` and below it `segment_interval = "1s"`.
"""
_ENV_HEAD = """\
# Settings of sensor-storage. Copy to .env, take away a leading "#" and change the value.
# Made by `make env-example`; docs/settings.md explains more.
"""


def markdown() -> str:
    """The text of `docs/settings.md`: a table for each room, then what settings must be to each other."""
    return "\n".join([_HEAD, *_tables(), *_relations()]) + "\n"


def env_example() -> str:
    """The text of `.env.example`: every setting as a comment, with its default or an example."""
    return "\n".join([_ENV_HEAD, *_env_lines()]).rstrip() + "\n"


def _tables() -> Iterator[str]:
    for room, branch in rooms().items():
        yield f"## `[{room}]`\n\n{branch.__doc__}\n"
        yield "| Variable | TOML | Default | Must be | Meaning |\n|---|---|---|---|---|"
        for entry in entries().values():
            if entry.room == room:
                cells = (f"`{entry.name}`", f"`{entry.field}`", _default(entry), entry.rule, _meaning(entry))
                yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"
        yield ""


def _default(entry: Entry) -> str:
    return "" if entry.info.default in {None, ""} else f"`{entry.text(entry.info.default)}`"


def _meaning(entry: Entry) -> str:
    words = entry.info.description or ""
    return f"{words} Example: `{entry.info.examples[0]}`" if entry.info.examples else words


def _relations() -> Iterator[str]:
    yield "## What settings must be to each other\n"
    yield from (f"- {relation.words}." for relation in RELATIONS)
    yield ""


def _env_lines() -> Iterator[str]:
    for room, branch in rooms().items():
        yield f"# ── {room}: {(branch.__doc__ or '').rstrip('.')} ──\n"
        for entry in entries().values():
            if entry.room == room:
                yield from (f"# {line}" for line in textwrap.wrap(entry.info.description or "", 105))
                yield f"# Must be {entry.rule}."
                yield f"#{entry.name}={_sample(entry)}\n"


def _sample(entry: Entry) -> str:
    default = entry.info.default
    text = entry.text(default) if default is not None else str((entry.info.examples or [""])[0])
    return f"'{text}'" if "$" in text else text
