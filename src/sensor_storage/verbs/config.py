"""`sensor-storage config`: the settings in force, whether they are good, and all there are."""

import click

from sensor_storage.api.keys import SCOPES, Scope, line_of, new_key, parse_keys
from sensor_storage.config import Settings
from sensor_storage.config.docs import env_example, markdown
from sensor_storage.config.entries import entries
from sensor_storage.errors import Usage
from sensor_storage.main import build_store
from sensor_storage.verbs.options import Output, output_options, settings_options

SHOW_EPILOG = """\b
Examples:
  sensor-storage config show
  sensor-storage config show --changed --json"""
CHECK_EPILOG = """\b
Examples:
  sensor-storage config check
  sensor-storage config check --env-file production.env && echo good

Exit codes: 0 the settings are good; 2 they are not, and every wrong one is named."""
KEY_EPILOG = """\b
Examples:
  sensor-storage config key grafana
  sensor-storage config key operator --scope admin --json | jq -r .line >> api-keys"""
DOCS_EPILOG = """\b
Examples:
  sensor-storage config docs | less
  sensor-storage config docs --format env > .env.example"""


@click.group("config")
def command() -> None:
    """Settings: show those in force, check them, list all there are."""


@command.command("show", epilog=SHOW_EPILOG)
@click.option("--changed", is_flag=True, help="Only those that are not left at their default.")
@output_options
@settings_options
def show(output: Output, settings: Settings, *, changed: bool) -> None:
    """Show the settings in force, and where each comes from; secrets are hidden."""
    rows = [
        {
            "name": entry.name,
            "value": entry.text(entry.value(settings)),
            "origin": settings.origin(entry.name),
            "toml": entry.toml,
        }
        for entry in entries().values()
        if not changed or entry.name in settings.origins
    ]
    output.items(rows, {"name": "setting", "value": "value", "origin": "from"})
    output.summary({"settings": len(rows), "warnings": list(settings.warnings)})


@command.command("check", epilog=CHECK_EPILOG)
@output_options
@settings_options
def check(output: Output, settings: Settings) -> None:
    """Check the settings; nothing is started and nobody is asked."""
    build_store(settings)
    given, known = len(settings.origins), len(entries())
    output.summary(
        {"good": True, "given": given, "settings": known, "warnings": list(settings.warnings)},
        f"The settings are good: {given} given, {known - given} at their default.",
    )


@command.command("key", epilog=KEY_EPILOG)
@click.argument("name")
@click.option("--scope", type=click.Choice(SCOPES), default="read", show_default=True, help="What it may do.")
@click.option("--asset", "assets", multiple=True, help="Only assets of this name, with `*`; repeatable.")
@output_options
def key(output: Output, name: str, scope: Scope, assets: tuple[str, ...]) -> None:
    """Make an API key for NAME: the key itself, and the line of API_KEYS_FILE that lets it in."""
    made = new_key()
    line = line_of(name, scope, made, assets)
    try:
        parse_keys(line)
    except ValueError as error:
        if assets and scope == "admin":
            raise Usage(str(error), hint="leave --asset out, or take --scope read") from None
        raise Usage(f"{name!a} is no name for a key", hint="take letters, digits, dots, dashes") from None
    output.summary({"key": made, "line": line}, f"key   {made}\nline  {line}")
    output.note("The key is shown only now: give it to whoever asks, and the line to API_KEYS_FILE.")


@command.command("docs", epilog=DOCS_EPILOG)
@click.option(
    "--format",
    "form",
    type=click.Choice(["markdown", "env"]),
    default="markdown",
    show_default=True,
    help="The text of docs/settings.md, or of .env.example.",
)
def docs(form: str) -> None:
    """Print every setting with its default, its rule and its meaning."""
    click.echo(markdown() if form == "markdown" else env_example(), nl=False)
