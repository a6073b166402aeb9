"""INSERT or UPDATE, whichever it takes, on any database."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from functools import cached_property, partial
from typing import Any, cast

from sqlalchemy import (
    ClauseElement,
    ColumnElement,
    Connection,
    CursorResult,
    Dialect,
    Executable,
    Insert,
    Table,
    Update,
    and_,
    insert,
    update,
)
from sqlalchemy.engine.interfaces import Compiled

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.lookup import dialect_beside, dialect_of
from eventsourcing_alchemy.statements.executor import listeners_of
from eventsourcing_alchemy.statements.kept import Kept
from eventsourcing_alchemy.upserts.buffered_connection import buffer_of
from eventsourcing_alchemy.upserts.parameters import (
    Parameters,
    check_names,
    filled,
    names_in,
)
from eventsourcing_alchemy.upserts.plans import SCHEMAS, Planned, planned
from eventsourcing_alchemy.upserts.targets import Schemas


class Upsert(Executable, ClauseElement):
    """A statement that inserts or updates one row. Make it with `upsert()`.

    Attributes:
        table: the table to write to.
        values: the values of a new row.
        set_: the values to set in an existing row.
        index_elements: the names of the key columns.
    """

    inherit_cache = False
    stringify_dialect = "postgresql"

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
        self._planned = Kept()
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

    def _compiler(self, dialect: Dialect, **options: Any) -> Compiled:
        """For those who look at it: it is executed in other ways."""
        shown: Any
        *_, shown = self.statements(dialect_beside(dialect))
        return cast("Compiled", shown.compile(dialect=dialect, **options))

    def _execute_on_connection(
        self,
        connection: Connection,
        distilled_params: Any,
        execution_options: Any,
    ) -> CursorResult[Any]:
        # SQLAlchemy 2.0 passes one empty set of parameters for none.
        given: Sequence[Parameters] = distilled_params or ({},)
        sets = [self.checked(each) for each in given]
        found = self._planned_on(connection, execution_options)
        if found is None:
            return self._execute_unplanned(connection, sets, execution_options)
        rows = [found.bound(each) for each in sets]
        buffer = buffer_of(connection)
        if buffer is not None:
            return buffer.execute(found.plan, rows, execution_options)
        return found.plan.execute(connection, rows, execution_options)

    @cached_property
    def parameters(self) -> frozenset[str]:
        """Names of the parameters that are given values when it is executed."""
        return names_in((*self.values.values(), *self.set_.values()))

    def checked(self, parameters: Parameters) -> Parameters:
        """Parameters of one execution, if it has such.

        Raises:
            ValueError: if it has not.
        """
        if parameters:
            check_names(parameters, self.parameters, self.table.name)
        return parameters

    def planned(self, dialect: Dialect, schemas: Schemas) -> Planned | None:
        """How to execute it, None where only SQLAlchemy knows.

        Args:
            dialect: SQLAlchemy's.
            schemas: the `schema_translate_map`.
        """
        key = dialect, *schemas.items()
        found: Planned | None = self._planned.get(key)
        if found is None:
            found = planned(self, dialect, schemas)
            # Others are made for each event, for the most part.
            if found is not None and found.named:
                self._planned.keep(key, found)
        return found

    def _planned_on(
        self, connection: Connection, execution_options: Any
    ) -> Planned | None:
        if SCHEMAS in execution_options or _hears_statements(connection):
            return None
        schemas = connection.get_execution_options().get(SCHEMAS) or {}
        return self.planned(connection.dialect, schemas)

    def _execute_unplanned(
        self, connection: Connection, sets: Sequence[Parameters], execution_options: Any
    ) -> CursorResult[Any]:
        options = {**execution_options, "preserve_rowcount": True}
        execute = partial(connection.execute, execution_options=options)
        # All of them before the first is executed: one may lack a value.
        filled_in = [self._filled(each) for each in sets]
        for each in filled_in:
            for statement in each.statements(dialect_of(connection)):
                result = execute(statement)
                if result.rowcount:
                    break
        return result

    def statements(self, dialect: BaseDialect) -> Iterator[Executable]:
        """Statements of SQLAlchemy's, the next one for where the first finds no row."""
        statement = dialect.upsert_statement(
            self.table, self.values, self.set_, self.index_elements
        )
        if statement is not None:
            yield statement
        else:
            yield self._as_update()
            yield self._as_insert()

    def _filled(self, parameters: Parameters) -> "Upsert":
        if not self.parameters:
            return self
        values, set_ = (
            {name: filled(value, parameters) for name, value in by_column.items()}
            for by_column in (self.values, self.set_)
        )
        return Upsert(self.table, values, set_, self.index_elements)


def _hears_statements(connection: Connection) -> bool:
    """Whether somebody listens to the statements of Core, not of the driver."""
    events = listeners_of(connection)
    return bool(events.before_execute or events.after_execute)


def upsert(
    table: Table,
    values: Mapping[str, Any],
    *,
    set_: Mapping[str, Any] | None = None,
    index_elements: Collection[str] | None = None,
) -> Upsert:
    """Returns a statement that inserts a row, or updates the row with the same key.

    On PostgreSQL, SQLite, MySQL and MariaDB it is one atomic statement. On another
    database it is an UPDATE and, if that finds no row, an INSERT: two processes that
    insert the same key at the same time get an `IntegrityError`. This cannot happen
    after `processing(tracking)`, which makes them take turns.

    Args:
        table: the table to write to.
        values: the values of a new row, by column name. A parameter such as
            `bindparam("a")` gets its value at the execution, by `{"a": value}`.
        set_: the values to set in an existing row, by column name. They may be
            expressions of the table's columns, such as `table.c.balance + amount`.
            (MySQL and MariaDB set them from left to right, and an expression sees
            what was set before it.) Default: the values that are not part of the key.
        index_elements: the names of the key columns, which need a unique constraint.
            Default: the primary key. (MySQL and MariaDB look at every unique key of
            the table.)

    Declare a statement with parameters once, for example as an attribute of the view,
    and execute it with `connection.execute(statement, {"name": value})`. That is faster
    than making a statement for each event. Pass a list of dictionaries to write several
    rows.

    A runner that processes many events in one transaction executes upserts together if
    they follow each other, differ only in values and have no side effects.

    Returns:
        A statement for `Connection.execute()` or `Session.execute()`.

    Raises:
        ValueError: if a column is unknown, or a key column has no value.
    """
    return Upsert(table, values, set_, index_elements)
