"""Where SQL uses a table by its name, whatever kind of statement it is."""

import re
from collections.abc import Collection, Sequence

from eventsourcing_alchemy.operations.rebuild.sql_tokens import (
    Token,
    Tokenizer,
    closing,
    outside,
    text_at,
)

_TABLES_FOLLOW = frozenset(
    ("FROM", "INTO", "JOIN", "STRAIGHT_JOIN", "TABLE", "UPDATE", "USING")
)
_COLUMNS_FOLLOW = frozenset(
    ("BY", "HAVING", "ON", "RETURNING", "SELECT", "SET", "VALUES", "WHERE")
)
_NEW_NAMES_FOLLOW = frozenset(("AS", "CONSTRAINT", "INDEX", "OF"))
_PHRASES = frozenset(
    (
        ("DISTINCT", "FROM"),
        ("DISTINCT", "ON"),
        ("FOR", "UPDATE"),
        ("ON", "CONFLICT"),
        ("ON", "DELETE"),
        ("ON", "DUPLICATE"),
        ("ON", "UPDATE"),
    )
)
"""Words that begin no list together, while one of them would alone."""

_PARTS_OF_LISTS_FOLLOW = frozenset(("FROM", "JOIN", "ONLY", "STRAIGHT_JOIN", ",", "("))
"""A parenthesis, in which there are as many tables or columns as outside."""

_EXPRESSIONS_FOLLOW = frozenset(("WITH", "RECURSIVE", ","))
_BODIES_FOLLOW = frozenset(("AS", "NOT", "MATERIALIZED"))
_CHANGES = frozenset(("DELETE", "INSERT", "INTO", "REPLACE", "TRUNCATE", "UPDATE"))
_LOOKS = frozenset(("DESC", "DESCRIBE", "PRAGMA", "SHOW"))
"""Statements that only look at what a table is like."""


class TableUses:
    """Finds tables that a statement reads or writes by their names.

    Names of columns, and those that the statement itself gives, are none of them.
    Whatever it does not understand uses a table.

    Attributes:
        tokenizer: for the SQL of the database.

    Args:
        names: of the tables.
        quote: begins a quoted name.
        has_escapes: whether a backslash escapes a quote in a literal.
    """

    def __init__(
        self, names: Collection[str], quote: str, *, has_escapes: bool
    ) -> None:
        self._names = {name.lower(): name for name in names}
        alternatives = "|".join(map(re.escape, names))
        in_sql = alternatives.replace("%", "%%?").replace('"', '""?')
        self._any = re.compile(rf"(?<![\w$])(?:{in_sql})(?![\w$])", re.IGNORECASE)
        self.tokenizer = Tokenizer(
            names, has_hashes=quote == "`", has_escapes=has_escapes
        )

    def first(self, statement: str) -> str | None:
        """The first table that is used, by the name that it was declared with."""
        if self._any.search(statement) is None:
            return None
        tokens = self.tokenizer.tokens(statement)
        if text_at(tokens, 0) in _LOOKS:
            return None
        uses = (
            self._names[token.name]
            for index, token in enumerate(tokens)
            if token.name in self._names and _is_table(tokens, index)
        )
        return next(uses, None)


def _is_table(tokens: Sequence[Token], index: int) -> bool:
    """Whether a name is that of a table."""
    name = tokens[index].name
    if text_at(tokens, index + 1) == ".":  # Then the table is named elsewhere, too.
        return False
    while text_at(tokens, index - 1) == ".":
        index -= 2
    before = text_at(tokens, index - 1)
    if before in _NEW_NAMES_FOLLOW or _is_expression(tokens, index, name):
        return False
    # SQLite: a table in the place of a list of values.
    return before == "IN" or _is_among_tables(tokens, index)


def _is_among_tables(tokens: Sequence[Token], index: int) -> bool:
    """Whether what is before a name makes it that of a table, not of a column."""
    has_comma = False
    for at in outside(tokens, index):
        before, text, after = (text_at(tokens, at + step) for step in (-1, 0, 1))
        if not _PHRASES.isdisjoint(((before, text), (text, after))):
            continue
        if text in _TABLES_FOLLOW:
            return (before, text) != ("KEY", "UPDATE")
        if text in _COLUMNS_FOLLOW:
            # Behind the condition of a join, the list of tables goes on.
            return text == "ON" and has_comma
        if text == "(" and before not in _PARTS_OF_LISTS_FOLLOW:
            return False
        has_comma |= text == ","
    return True


def _is_expression(tokens: Sequence[Token], index: int, name: str) -> bool:
    """Whether a name is that of a common table expression."""
    body = next(
        filter(None, (_body(tokens, at, name) for at in range(index + 1))), None
    )
    if body is None:
        return False
    begin, end = body
    is_recursive = any(token.text == "RECURSIVE" for token in tokens[:begin])
    if begin < index < end and not is_recursive:
        return False
    # Only tables are written to.
    before, first = (text_at(tokens, index - step) for step in (1, 2))
    return before not in _CHANGES and (first, before) != ("DELETE", "FROM")


def _body(tokens: Sequence[Token], index: int, name: str) -> tuple[int, int] | None:
    """Where the common table expression begins and ends that is defined there."""
    if tokens[index].name != name:
        return None
    if text_at(tokens, index - 1) not in _EXPRESSIONS_FOLLOW:
        return None
    index += 1
    if text_at(tokens, index) == "(":
        index = closing(tokens, index) + 1
    if text_at(tokens, index) != "AS":
        return None
    while text_at(tokens, index) in _BODIES_FOLLOW:
        index += 1
    return (index, closing(tokens, index)) if text_at(tokens, index) == "(" else None
