"""Tables for a terminal. Loaded when there is one to print: a worker's start waits for no typesetting."""

from collections.abc import Callable, Iterable, Mapping
from typing import Literal, TextIO

from rich.console import Console
from rich.table import Table
from rich.text import Text


def print_table(
    records: Iterable[Mapping[str, object]],
    headings: Mapping[str, str],
    out: TextIO,
    cell: Callable[[object], str],
) -> None:
    """Print the records' values of the headings' keys as `cell` writes them; numbers to the right."""
    table = Table(box=None, pad_edge=False)
    for heading in headings.values():
        table.add_column(Text(heading))
    for record in records:
        values = [record.get(key) for key in headings]
        table.add_row(*(Text(cell(value), justify=_side(value)) for value in values))
    Console(file=out, highlight=False).print(table)


def _side(value: object) -> Literal["left", "right"]:
    return "right" if isinstance(value, int | float) else "left"
