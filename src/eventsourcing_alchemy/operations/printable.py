"""Texts of others, for people: in terminals, and on the web page."""

from typing import Any


def printable(value: Any) -> str:
    """A text on one line, of characters that are seen, and that any encoding has.

    The others are escaped: those that a terminal obeys, that make a line look like
    another one, or that are no characters (lone surrogates, as JSON can have them).

    Args:
        value: of the database, say: anybody may have put anything there.
    """
    return "".join(
        character if character.isprintable() else _escaped(character)
        for character in str(value)
    )


def printable_lines(value: Any) -> str:
    """The same of a text of several lines."""
    return "\n".join(map(printable, str(value).split("\n")))


def _escaped(character: str) -> str:
    return character.encode("unicode_escape").decode()
