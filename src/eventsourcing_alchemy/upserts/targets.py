"""The tables that upserts write to, and what is kept for each of them."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager
from time import monotonic
from typing import Any, TypeVar

from sqlalchemy import Connection, Dialect, Table, exc

from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.statements.kept import Kept

T = TypeVar("T")

Schemas = Mapping[str | None, str | None]

Connected = Callable[[], AbstractContextManager[Connection]]

KNOWN_FOR = 10.0
"""Seconds after which a change of a table's triggers and defaults is noticed."""

_KEPT = "eventsourcing_alchemy_upserts"


def kept(table: Table, key: tuple[Any, ...], make: Callable[[], T]) -> T:
    """What was made for a table before, or is made now.

    Args:
        table: in the `info` of which it is kept.
        key: tells it from what else is kept.
        make: makes it.
    """
    # Copies of a table share their `info`.
    everything: Kept = table.info.setdefault(_KEPT, Kept())
    return everything.get_or_make((table, *key), make)


class Target:
    """A table of a database.

    Args:
        name: of the table.
        schema: of the table, None for the default.
    """

    def __init__(self, name: str, schema: str | None) -> None:
        self._name = name
        self._schema = schema
        self._has_side_effects = True
        self._looks_again_at = 0.0
        self._failed_until = 0.0

    def has_side_effects(self, connected: Connected) -> bool:
        """Whether writing a row may run anything but what the statement says.

        The database is asked every `KNOWN_FOR` seconds.

        Args:
            connected: a connection to ask by, for the time of the block.
        """
        if monotonic() >= self._looks_again_at:
            with connected() as connection:
                self._has_side_effects = self._look(connection)
            self._looks_again_at = monotonic() + KNOWN_FOR
        return self._has_side_effects

    @contextmanager
    def noting_failures(self) -> Iterator[None]:
        """Notes if an upsert fails that had to wait."""
        try:
            yield
        except exc.DBAPIError:
            self._failed_until = monotonic() + KNOWN_FOR
            raise

    def has_failed(self) -> bool:
        """Whether that happened in the last `KNOWN_FOR` seconds.

        Who tries again then sees the error where it executes the upsert.
        """
        return monotonic() < self._failed_until

    def _look(self, connection: Connection) -> bool:
        looks = dialect_of(connection).has_side_effects
        try:
            # An error must not abort the transaction.
            with connection.begin_nested():
                return looks(connection, self._name, self._schema)
        except exc.DBAPIError:
            return True


def target_of(table: Table, dialect: Dialect, schemas: Schemas) -> Target:
    """A table as a target.

    Args:
        table: to be written to.
        dialect: SQLAlchemy's, of an engine.
        schemas: the `schema_translate_map`.
    """
    schema = schemas.get(table.schema, table.schema)
    stored = getattr(dialect, "stored_name", str)  # That of a rebuild has others.
    return kept(
        table, (Target, dialect, schema), lambda: Target(stored(table.name), schema)
    )
