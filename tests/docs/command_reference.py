"""The commands and options, as the page of the reference lists them.

`python tests/docs/command_reference.py` writes them into the page.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from typer.main import get_command

from eventsourcing_alchemy.cli.app import app

PAGE = Path(__file__).parents[2] / "docs" / "reference" / "commands.md"
MARK = "<!-- From here on, written by tests/docs/command_reference.py -->\n"
NEXT = "Next: [Operate in production](../how-to/production.md), [Errors](errors.md)."
_OF_TYPER = {"install_completion", "show_completion", "help"}


def reference() -> str:
    """Every command, with its arguments and options."""
    lines = [
        line
        for path, each in _commands("", get_command(app))
        for line in _section(path, each)
    ]
    return "\n".join([*lines, NEXT, ""])


def _commands(path: str, command: Any) -> Iterator[tuple[str, Any]]:
    subcommands = getattr(command, "commands", None)
    if subcommands is None:
        yield path, command
        return
    for name, each in subcommands.items():
        yield from _commands(f"{path} {name}".strip(), each)


def _section(path: str, command: Any) -> Iterator[str]:
    arguments = [p for p in command.params if p.param_type_name == "argument"]
    shown = " ".join(_usage(each) for each in arguments)
    yield f"## {path}\n"
    yield f"`eventsourcing-alchemy {path} {shown}`".replace(" `", "`") + "\n"
    yield _with_literal_options(inspect.cleandoc(command.help or "")) + "\n"
    rows = [row for each in command.params if (row := _row(each)) is not None]
    if rows:
        yield "| Argument, option | What it does |\n|---|---|"
        yield from rows
        yield ""


def _usage(argument: Any) -> str:
    name = str(argument.name).upper() + ("…" if argument.nargs == -1 else "")
    return name if argument.required else f"[{name}]"


def _row(param: Any) -> str | None:
    if param.name in _OF_TYPER:
        return None
    if param.param_type_name == "argument":
        return f"| `{str(param.name).upper()}` | {param.help} |"
    names = ", ".join(f"`{name}`" for name in param.opts)
    is_told = param.default not in (None, False) and not callable(param.default)
    default = f" Default: `{_plain(param.default)}`." if is_told else ""
    return f"| {names} | {param.help}{default} |"


def _with_literal_options(text: str) -> str:
    return re.sub(r"(?<!\S)--[a-z-]+[a-z]", r"`\g<0>`", text)


def _plain(default: Any) -> str:
    return str(getattr(default, "value", default))


if __name__ == "__main__":
    text = PAGE.read_text(encoding="utf-8")
    PAGE.write_text(text.partition(MARK)[0] + MARK + "\n" + reference(), "utf-8")
