"""Statements of this package, each compiled once, on the driver's own cursor."""

import struct
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cached_property
from logging import INFO
from typing import Any, NoReturn

from sqlalchemy import (
    Connection,
    Dialect,
    Engine,
    Executable,
    UpdateBase,
    exc,
)
from sqlalchemy.types import TypeEngine

Rows = Sequence[Sequence[Any]]

_ABOUT_VALUES = (TypeError, ValueError, ArithmeticError, struct.error)
"""What drivers raise about values, beside their own errors."""

_Converter = Callable[[Any], Any]


class Compiled:
    """A statement of Core, as a driver takes it.

    Args:
        statement: has a parameter for each value, none of them a list to be expanded.
        dialect: SQLAlchemy's.
        schema: database schema of the tables, None for the default.
    """

    def __init__(
        self, statement: Executable, dialect: Dialect, schema: str | None
    ) -> None:
        compiled: Any = statement.compile(  # type: ignore[attr-defined]
            dialect=dialect,
            schema_translate_map={None: schema} if schema else None,
            render_schema_translate=bool(schema),
        )
        self.text: str = compiled.string
        self._names: Sequence[str] | None = compiled.positiontup
        self._constants: Mapping[str, Any] = {
            name: value for name, value in compiled.params.items() if value is not None
        }
        self._binders = {
            name: binder
            for bind, name in compiled.bind_names.items()
            if (binder := bind.type.dialect_impl(dialect).bind_processor(dialect))
        }
        self._escaped_names: Mapping[str, str] = compiled.escaped_bind_names
        self._statement = statement
        self._dialect = dialect

    def bound(self, parameters: Mapping[str, Any]) -> Any:
        """The parameters as the driver takes them.

        Args:
            parameters: by name; without those that the statement knows itself.
        """
        bound = {**self._constants, **parameters}
        try:
            for name, binder in self._binders.items():
                bound[name] = binder(bound[name])
        except Exception as error:
            raise self.refusal(error) from error
        if self._names is None:
            return self._escaped(bound)
        return tuple(bound[name] for name in self._names)

    def _escaped(self, bound: dict[str, Any]) -> dict[str, Any]:
        # Some drivers understand but simple names.
        for name, escaped in self._escaped_names.items():
            bound[escaped] = bound.pop(name)
        return bound

    def refusal(self, error: Exception) -> exc.StatementError:
        """The exception of SQLAlchemy's for a value that does not fit."""
        return exc.StatementError(str(error), self.text, None, error, True)

    def bound_rows(self, names: Sequence[str], rows: Rows) -> Sequence[Any]:
        """The parameters of several executions, as the driver takes them.

        Args:
            names: of all parameters.
            rows: their values.
        """
        if self._names is None:
            return [self.bound(dict(zip(names, row, strict=True))) for row in rows]
        columns = dict(zip(names, zip(*rows, strict=True), strict=True))
        bound: list[Iterable[Any]] = [
            map(self._binders[name], columns[name])
            if name in self._binders
            else columns[name]
            for name in self._names
        ]
        try:
            return list(zip(*bound, strict=True))
        except Exception as error:
            raise self.refusal(error) from error

    @cached_property
    def _converters(self) -> list[tuple[int, _Converter]]:
        """By index of a column. Only asked of statements that return rows."""
        return [
            (index, converter)
            for index, column in enumerate(_columns(self._statement))
            if (converter := _converter(column["type"], self._dialect))
        ]

    def converted(self, rows: Rows) -> Rows:
        """The rows of a cursor, with the values of Core's types."""
        if not self._converters or not rows:
            return rows
        columns: list[Iterable[Any]] = list(zip(*rows, strict=True))
        for index, converter in self._converters:
            columns[index] = map(converter, columns[index])
        return list(zip(*columns, strict=True))


def _columns(statement: Any) -> Sequence[Any]:
    if isinstance(statement, UpdateBase):
        return statement.returning_column_descriptions
    columns: Sequence[Any] = statement.column_descriptions
    return columns


def _converter(type_: TypeEngine[Any], dialect: Dialect) -> Callable[[Any], Any] | None:
    return type_.dialect_impl(dialect).result_processor(dialect, None)


def is_observed(engine: Engine) -> bool:
    """Whether somebody sees what SQLAlchemy does around a cursor."""
    events: Any = engine.dispatch
    return bool(
        events.before_cursor_execute
        or events.after_cursor_execute
        or events.before_execute
        or events.after_execute
        or engine.logger.isEnabledFor(INFO)
    )


class Executor:
    """Executes statements on a connection.

    What SQLAlchemy does around a cursor takes longer than most of our statements do.
    It is left out where nobody sees it: with `echo`, or listeners for the events of
    statements, they are executed as any other. Errors are SQLAlchemy's.

    Attributes:
        connection: SQLAlchemy's.
        driver_connection: the driver's own.

    Args:
        connection: SQLAlchemy's.
        compiled: compiles a statement, or knows it already.
        cursor: makes a cursor of a driver's connection.
        options: execution options, for SQLAlchemy; None if nobody sees it.
    """

    __slots__ = ("_compiled", "_cursor", "_options", "connection", "driver_connection")

    def __init__(
        self,
        connection: Connection,
        compiled: Callable[[Executable], Compiled],
        cursor: Callable[[Any], Any],
        options: Mapping[str, Any] | None,
    ) -> None:
        self.connection = connection
        self.driver_connection: Any = connection.connection.dbapi_connection
        self._compiled = compiled
        self._cursor = cursor
        self._options = options

    def rows(self, statement: Executable, parameters: Mapping[str, Any]) -> Rows:
        """The rows that a statement returns.

        Args:
            statement: is not made anew each time: what is compiled is kept.
            parameters: by name.
        """
        if self._options is not None:
            observed: Rows = self._observed(statement, parameters).all()
            return observed
        compiled = self._compiled(statement)
        cursor = self._executed(compiled, parameters)
        try:
            rows: Rows = cursor.fetchall()
        except BaseException as error:
            self._fail(error, compiled.text, cursor)
        cursor.close()
        return compiled.converted(rows)

    def first(
        self, statement: Executable, parameters: Mapping[str, Any]
    ) -> Sequence[Any] | None:
        """The first row that a statement returns, None if there is none."""
        rows = self.rows(statement, parameters)
        return rows[0] if rows else None

    def scalar(self, statement: Executable, parameters: Mapping[str, Any]) -> Any:
        """The first column of the first row, None if there is none."""
        rows = self.rows(statement, parameters)
        return rows[0][0] if rows else None

    def execute(self, statement: Executable, parameters: Mapping[str, Any]) -> Any:
        """Executes a statement that returns no rows.

        Returns:
            Something with the `rowcount` and `lastrowid` of the driver.
        """
        if self._options is not None:
            return self._observed(statement, parameters)
        # Not closed, because some drivers forget the numbers then.
        return self._executed(self._compiled(statement), parameters)

    def execute_many(
        self, statement: Executable, names: Sequence[str], rows: Rows
    ) -> None:
        """Executes a statement that returns no rows, once for each of the given ones.

        Args:
            statement: as in `rows()`.
            names: of its parameters.
            rows: their values.
        """
        if len(rows) == 1:
            self.execute(statement, dict(zip(names, rows[0], strict=True)))
            return
        if self._options is not None:
            each = [dict(zip(names, row, strict=True)) for row in rows]
            self._observed(statement, each)
            return
        compiled = self._compiled(statement)
        bound = compiled.bound_rows(names, rows)
        cursor = self._cursor(self.driver_connection)
        try:
            cursor.executemany(compiled.text, bound)
        except BaseException as error:
            self._fail(error, compiled.text, cursor)
        cursor.close()

    def run(self, text: str) -> None:
        """Executes a text without parameters, such as COMMIT."""
        if self._options is not None:
            self.connection.exec_driver_sql(text)
            return
        cursor = self._cursor(self.driver_connection)
        try:
            cursor.execute(text)
        except BaseException as error:
            self._fail(error, text, cursor)
        cursor.close()

    def _executed(self, compiled: Compiled, parameters: Mapping[str, Any]) -> Any:
        bound = compiled.bound(parameters)
        cursor = self._cursor(self.driver_connection)
        try:
            cursor.execute(compiled.text, bound)
        except BaseException as error:
            self._fail(error, compiled.text, cursor)
        return cursor

    @property
    def _driver_error(self) -> type[Exception]:
        error: type[Exception] = self.connection.dialect.loaded_dbapi.Error
        return error

    def _observed(self, statement: Executable, parameters: Any) -> Any:
        return self.connection.execute(
            statement, parameters, execution_options=self._options
        )

    def _fail(self, error: BaseException, text: str, cursor: Any) -> NoReturn:
        """Does what SQLAlchemy does about an error of its own cursors.

        Raises the exception of SQLAlchemy's, tells the listeners of `handle_error`,
        and takes a lost connection, and its pool, out of use.
        """
        is_about_values = isinstance(error, _ABOUT_VALUES)
        if isinstance(error, self._driver_error) or is_about_values:
            # It has no public name; the tests run at both ends of SQLAlchemy's range.
            self.connection._handle_dbapi_exception(  # noqa: SLF001
                error, text, None, cursor, None
            )
        # Of a signal handler: nobody knows how far the driver got. SQLite keeps its
        # locks while somebody keeps the cursor, in a traceback.
        with suppress(Exception):
            cursor.close()
        self.connection.invalidate(error)
        raise error
