"""What commands print: tables for people, one JSON document for machines."""

import json
import sys
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import fields, is_dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from rich import box
from rich.cells import cell_len
from rich.console import Console, RenderableType
from rich.table import Table
from rich.text import Text

from eventsourcing_alchemy.operations.printable import printable

VERSION = 1
"""Of the documents. It changes where something that a program may read goes away."""

UNBOUNDED = 1000
"""Columns, where nobody looks: a line stays a line for `grep`."""


def literal(value: Any, style: str = "") -> Text:
    """What is printable of a text, as one of Rich's, in which brackets are brackets."""
    return Text(printable(value), style=style, overflow="fold")


class Output:
    """Prints the result of a command.

    Attributes:
        as_json: whether machines read it.
        console: standard output, for people.
        messages: standard error.

    Args:
        as_json: whether machines are to read it.
    """

    def __init__(self, *, as_json: bool) -> None:
        self.as_json = as_json
        self.console = _console()
        self.messages = Console(stderr=True, highlight=False)

    def document(self, command: str, **content: Any) -> None:
        """Prints the one JSON document.

        Args:
            command: that it is of.
            **content: dataclasses, or what JSON has.
        """
        document = {"version": VERSION, "command": command, **content}
        sys.stdout.write(_json(document, indent=2) + "\n")

    def line(self, command: str, **content: Any) -> None:
        """Prints one of many JSON documents, each on a line: what never ends."""
        document = {"version": VERSION, "command": command, **content}
        sys.stdout.write(_json(document) + "\n")
        sys.stdout.flush()

    def table(
        self, columns: Sequence[str], rows: Iterable[Sequence[Any]], *, empty: str
    ) -> None:
        """Prints a table, or where it does not fit, a paragraph for each row.

        Args:
            columns: their names. Numbers are on the right.
            rows: the values, which are escaped; None for nothing.
            empty: what to say where there are no rows.
        """
        cells = [[_cell(value) for value in row] for row in rows]
        if not cells:
            self.console.print(empty, markup=False)
            return
        table = _table(columns, cells)
        if _width(columns, cells) <= self.console.width:
            self.console.print(table)
        else:
            self.console.print(_paragraphs(columns, cells))

    def record(self, values: Mapping[str, Any]) -> None:
        """Prints names and values, a line each; without those that have none."""
        cells = [_cell(value) for value in values.values()]
        self.console.print(_paragraphs([*values], [cells]))

    def lines(self, text: str) -> None:
        """Prints a text of several lines, each escaped."""
        for line in text.splitlines():
            self.console.print(literal(line), soft_wrap=True)

    def say(self, *words: Any) -> None:
        """Prints a line for people, escaped; nothing where machines read."""
        if not self.as_json:
            self.console.print(literal(" ".join(map(str, words))))

    def tell(self, message: str) -> None:
        """Prints a line to standard error, escaped."""
        self.messages.print(Text(printable(message)), soft_wrap=True)


def _console() -> Console:
    console = Console(highlight=False, emoji=False)
    if not console.is_terminal and "COLUMNS" not in console._environ:  # noqa: SLF001
        console.width = UNBOUNDED
    return console


def _cell(value: Any) -> Text:
    if isinstance(value, Text):
        return value
    cell = literal(_shown(value))
    cell.justify = "right" if isinstance(value, int | float) else "left"
    return cell


def _shown(value: Any) -> Any:
    match value:
        case None:
            return ""
        case datetime():
            return f"{value:%Y-%m-%d %H:%M:%S}"
        case float():
            return f"{value:,.1f}"
        case int():
            return f"{value:,}"
        case _:
            return value


NARROWEST = 30
"""Columns of the terminal for the last one of a table, whose lines may be broken."""


def _width(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> int:
    """Of a table whose last column is as narrow as it may be."""
    widths = [
        max(cell_len(name), *(row[column].cell_len for row in cells))
        for column, name in enumerate(columns)
    ]
    return sum(widths[:-1]) + min(widths[-1], NARROWEST) + 2 * len(widths)


def _table(columns: Sequence[str], cells: Sequence[Sequence[Text]]) -> Table:
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
    for number, (column, first) in enumerate(zip(columns, cells[0], strict=True), 1):
        table.add_column(
            column,
            justify=first.justify or "left",
            no_wrap=number < len(columns),
            overflow="fold",
        )
    for row in cells:
        table.add_row(*row)
    return table


def _paragraphs(
    columns: Sequence[str], cells: Sequence[Sequence[Text]]
) -> RenderableType:
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="dim", no_wrap=True)
    grid.add_column(overflow="fold")
    for number, row in enumerate(cells):
        if number:
            grid.add_row("", "")
        for column, cell in zip(columns, row, strict=True):
            if cell.plain:
                cell.justify = "left"
                grid.add_row(column, cell)
    return grid


def _json(document: Mapping[str, Any], indent: int | None = None) -> str:
    return json.dumps(document, default=_plain, indent=indent, allow_nan=False)


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return {each.name: getattr(value, each.name) for each in fields(value)}
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, UUID):
        return str(value)
    raise TypeError(f"{value!r} has no form in JSON")
