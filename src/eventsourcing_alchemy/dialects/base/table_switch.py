"""How the tables of a view are replaced by others that were built beside them."""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

from sqlalchemy import Connection, Dialect, Table, delete


@dataclass(frozen=True)
class SwitchedTable:
    """A table, under the name that the view declares and under two others.

    Attributes:
        table: as the view declares it.
        schema: that it is in; None for the only one.
        new: its name while it is built.
        old: the name that the one it replaces gets.
    """

    table: Table
    schema: str | None
    new: str
    old: str


@dataclass(frozen=True)
class Switch:
    """Which tables are replaced, and how.

    Attributes:
        tables: those that others refer to first.
        present: of them, those that there are to be replaced.
        sequences: schema and name of those that the view declares.
        new: the name of an index, a constraint or a sequence while it is built.
        old: the name of one that was replaced.
        dialect: SQLAlchemy's, by which names are those that the view declares.
        keeps_old: whether the replaced tables stay, under other names.
    """

    tables: Sequence[SwitchedTable]
    present: Sequence[SwitchedTable]
    sequences: Sequence[tuple[str | None, str]]
    new: Callable[[str], str]
    old: Callable[[str], str]
    dialect: Dialect
    keeps_old: bool

    @property
    def schemas(self) -> Mapping[str | None, str]:
        """The `schema_translate_map` of what is compiled for the tables."""
        return {
            each.table.schema: each.schema
            for each in self.tables
            if each.schema is not None
        }


class TableSwitch:
    """How the tables of a view are replaced, where that is known."""

    switches_tables: ClassVar[bool] = False
    """Whether it is known."""

    switches_in_transaction: ClassVar[bool] = True
    """Whether a rollback undoes it."""

    shared_names: ClassVar[Collection[str]] = ()
    """SQLAlchemy's names of what has names that are not its table's own."""

    def dependents(
        self,
        connection: Connection,  # noqa: ARG002
        tables: Sequence[tuple[str | None, str]],  # noqa: ARG002
    ) -> Sequence[str]:
        """What hangs on tables, and would hang on those that were replaced.

        Args:
            connection: where to look.
            tables: schema and name of each; also of sequences, with shared names.
        """
        return ()

    def missing_rights(
        self,
        connection: Connection,  # noqa: ARG002
        tables: Sequence[tuple[str | None, str]],  # noqa: ARG002
        ours: Sequence[tuple[str | None, str]],  # noqa: ARG002
    ) -> Sequence[str]:
        """What the role would need to replace tables, and has not.

        Args:
            connection: of the role.
            tables: schema and name of each; also of sequences, with shared names.
            ours: tables whose rows it is to change.
        """
        return ()

    def drop_tables(
        self, connection: Connection, tables: Sequence[tuple[str | None, str]]
    ) -> None:
        """Drops tables, those of them that there are.

        Args:
            connection: in a transaction that may change the schema.
            tables: schema and name of each, those first that others refer to.
        """
        for each in reversed(tables):
            connection.exec_driver_sql(
                f"DROP TABLE IF EXISTS {quoted(connection, *each)}"
            )

    def empty_tables(self, connection: Connection, tables: Sequence[Table]) -> None:
        """Deletes all rows, also of tables that refer to each other.

        Args:
            connection: in a transaction.
            tables: of a view, those last that others refer to.
        """
        for table in tables:
            connection.execute(delete(table))

    def limit_lock_waits(self, connection: Connection, *, waits: bool) -> None:
        """Has `switch()` give up soon where others use the tables.

        Args:
            connection: is to switch.
            waits: whether to wait at all, which makes others wait, too.
        """

    def lock_tables(self, connection: Connection, switch: Switch) -> None:
        """Has nobody change what hangs on the tables, where that can be had.

        Args:
            connection: is to switch.
            switch: the tables.
        """

    def switch(self, connection: Connection, switch: Switch) -> None:
        """Replaces the tables, at once for everybody else.

        Args:
            connection: in a transaction, which is the end of it where a rollback can
                undo it.
            switch: the tables.
        """
        raise NotImplementedError

    def finish_switch(self, connection: Connection, switch: Switch) -> None:
        """Does what may be done later; may be called again after it was interrupted."""


def declared_name(dialect: Dialect, item: Any) -> str | None:
    """The name of an index or a constraint; None if the database gives it one.

    Args:
        dialect: SQLAlchemy's.
        item: the index, or constraint.
    """
    if item.name is None:
        return None
    preparer = dialect.identifier_preparer
    return preparer.format_constraint(item, _alembic_quote=False)


def quoted(connection: Connection, schema: str | None, name: str) -> str:
    """A name for SQL."""
    preparer = connection.dialect.identifier_preparer
    quoted_name = preparer.quote_identifier(name)
    if schema is None:
        return quoted_name
    return f"{preparer.quote_identifier(schema)}.{quoted_name}"
