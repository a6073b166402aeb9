"""Texts of others, in terminals."""

from typing import Any

from rich.text import Text


def printable(value: Any) -> str:
    """A text without anything that a terminal obeys, on one line.

    Args:
        value: of the database, say: anybody may have put anything there.
    """
    return "".join(
        character if character.isprintable() else _escaped(character)
        for character in str(value)
    )


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()


def literal(value: Any, style: str = "") -> Text:
    """The same as a text of Rich's, in which brackets are brackets."""
    return Text(printable(value), style=style, overflow="fold")
