"""INSERT or UPDATE, whichever it takes, on any database."""

from collections.abc import Collection, Mapping
from functools import partial
from typing import Any, cast

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    CursorResult,
    Executable,
    Insert,
    Table,
    Update,
    and_,
    insert,
    update,
)

from eventsourcing_alchemy.collecting import current_collector
from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.upsert_plans import SCHEMAS, Planned, planned


class Upsert(Executable, ClauseElement):
    """A statement that writes one row; make it with `upsert()`.

    Attributes:
        table: to write to.
        values: of the row, if it is new.
        set_: of the row, if it is there.
        index_elements: names of the columns that tell whether it is there.
    """

    inherit_cache = False

    def __init__(
        self,
        table: Table,
        values: Mapping[str, Any],
        set_: Mapping[str, Any] | None,
        index_elements: Collection[str] | None,
    ) -> None:
        self.table = table
        self.values = values
        self.index_elements = list(index_elements or table.primary_key.columns.keys())
        self.set_ = self._others() if set_ is None else dict(set_)
        self._check()

    def _as_insert(self) -> Insert:
        return insert(self.table).values(self.values)

    def _as_update(self) -> Update:
        return update(self.table).where(self._key()).values(self.set_)

    def _key(self) -> ColumnElement[bool]:
        columns = self.table.columns
        return and_(*(columns[k] == self.values[k] for k in self.index_elements))

    def _others(self) -> dict[str, Any]:
        keys = set(self.index_elements)
        others = {k: v for k, v in self.values.items() if k not in keys}
        # A row that is all key stays as it is; an UPDATE has to set something.
        return others or {k: self.values[k] for k in keys & self.values.keys()}

    def _check(self) -> None:
        columns, key = self.table.columns, self.index_elements
        unknown = {
            name for name in (*self.values, *self.set_, *key) if name not in columns
        }
        missing = [name for name in key if name not in self.values]
        if not key or not self.set_ or unknown or missing:
            msg = (
                f"upsert() into {self.table.name!r}: expected a value for each of the "
                f"key columns {key}, something to set, and names of columns only; "
                f"missing: {missing}, unknown: {sorted(unknown)}"
            )
            raise ValueError(msg)

    def _execute_on_connection(
        self,
        connection: Connection,
        distilled_params: Any,
        execution_options: Any,
    ) -> CursorResult[Any]:
        # SQLAlchemy 2.0 passes one empty set of parameters for none.
        if any(distilled_params):
            msg = "upsert() has its values already: execute it without parameters"
            raise ValueError(msg)
        plan = self._planned(connection, execution_options)
        if plan is None:
            return self._execute_unplanned(connection, execution_options)
        collector = current_collector(connection)
        if collector is not None and plan.plan.can_wait:
            return cast("CursorResult[Any]", collector.collect(plan))
        return plan.execute(connection, execution_options)

    def _planned(
        self, connection: Connection, execution_options: Any
    ) -> Planned | None:
        if SCHEMAS in execution_options or _hears_statements(connection):
            return None
        schemas = connection.get_execution_options().get(SCHEMAS) or {}
        return planned(self, connection.dialect, schemas)

    def _execute_unplanned(
        self, connection: Connection, execution_options: Any
    ) -> CursorResult[Any]:
        execute = partial(connection.execute, execution_options=execution_options)
        statement = dialect_of(connection).upsert_statement(
            self.table, self.values, self.set_, self.index_elements
        )
        if statement is not None:
            return execute(statement)
        result = execute(self._as_update())
        return result if result.rowcount else execute(self._as_insert())


def _hears_statements(connection: Connection) -> bool:
    """Whether somebody listens to the statements of Core, not of the driver."""
    events: Any = connection.dispatch
    return bool(events.before_execute or events.after_execute)


def upsert(
    table: Table,
    values: Mapping[str, Any],
    *,
    set_: Mapping[str, Any] | None = None,
    index_elements: Collection[str] | None = None,
) -> Upsert:
    """A statement that inserts a row, or updates the row that has its key.

    PostgreSQL, SQLite, MySQL and MariaDB do it in one atomic statement. On another
    database it is an UPDATE and, where that finds no row, an INSERT: two that insert
    the same key at the same time get an `IntegrityError`, which cannot happen behind
    `processing(tracking)`, because that makes them take turns.

    Args:
        table: to write to.
        values: of the row if it is new, by column name.
        set_: values if the row is there, by column name; may be expressions of the
            table's columns, such as `table.c.balance + amount`. (MySQL and MariaDB
            set them from left to right: there, an expression sees what was set before
            it.) Default: the values that are not part of the key.
        index_elements: names of the columns of the key, which need a unique
            constraint. Default: the primary key. (MySQL and MariaDB look at every
            unique key of the table.)

    A runner that processes many events in one transaction executes such statements
    together where they follow each other and differ in nothing but values, before
    anything else that is executed on the connection.

    Returns:
        A statement for `Connection.execute()` or `Session.execute()`.

    Raises:
        ValueError: if a column is unknown, or a column of the key has no value.
    """
    return Upsert(table, values, set_, index_elements)
