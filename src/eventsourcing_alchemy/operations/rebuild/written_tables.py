"""Which tables a statement writes to, as far as it can be told."""

from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Any

from sqlalchemy import Alias, Join, TableClause

from eventsourcing_alchemy.operations.rebuild.sql_tokens import (
    Token,
    Tokenizer,
    text_at,
)

_WRITES = frozenset(("DELETE", "INSERT", "MERGE", "REPLACE", "TRUNCATE", "UPDATE"))
_LOCKS_FOLLOW = frozenset(("FOR", "KEY", "ON"))
"""Words before an UPDATE, or DELETE, that is part of something else."""

KEPT = 500
"""Statements whose judgement is kept."""


def written_tables(statement: Any) -> Sequence[TableClause]:
    """The tables whose rows an INSERT, UPDATE or DELETE changes.

    Args:
        statement: of SQLAlchemy.
    """
    values = dict(getattr(statement, "_ordered_values", None) or ())
    values |= getattr(statement, "_values", None) or {}
    # MySQL may change several tables at once.
    of_columns = [getattr(each, "table", None) for each in values]
    found = [table for each in of_columns for table in _plain(each)]
    return found or list(_plain(statement.table))


def _plain(table: Any) -> Iterator[TableClause]:
    """What a table, an alias or a join consists of."""
    if isinstance(table, TableClause):
        yield table
    elif isinstance(table, Alias):
        yield from _plain(table.element)
    elif isinstance(table, Join):
        yield from _plain(table.left)
        yield from _plain(table.right)


class TextWrites:
    """Tells SQL as text that writes, and names none of some tables.

    Args:
        tables: that may be written to.
        tokenizer: for the SQL of the database.
    """

    def __init__(self, tables: Collection[str], tokenizer: Tokenizer) -> None:
        self._tables = {name.lower() for name in tables}
        self._tokenizer = tokenizer
        self.are_elsewhere = lru_cache(KEPT)(self._are_elsewhere)

    def _are_elsewhere(self, statement: str) -> bool:
        tokens = self._tokenizer.tokens(statement)
        return any(_writes(tokens, index) for index in range(len(tokens))) and (
            self._tables.isdisjoint(token.name for token in tokens)
        )


def _writes(tokens: Sequence[Token], index: int) -> bool:
    """Whether a word begins to write, and is no function, nor part of a lock."""
    return (
        tokens[index].text in _WRITES
        and text_at(tokens, index + 1) != "("
        and text_at(tokens, index - 1) not in _LOCKS_FOLLOW
    )
