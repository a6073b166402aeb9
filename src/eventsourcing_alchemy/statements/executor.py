"""Executes compiled statements on the driver's own cursor."""

import struct
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from logging import INFO
from typing import Any, NoReturn

from sqlalchemy import Connection, Engine, Executable, exc

from eventsourcing_alchemy.statements.compiled import Compiled, Rows
from eventsourcing_alchemy.statements.driver import Driver, Written

Statements = Sequence[tuple[Executable, Mapping[str, Any]]]

_ABOUT_VALUES = (TypeError, ValueError, ArithmeticError, struct.error)
"""What drivers raise about values, beside their own errors."""


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


def listeners_of(connection: Connection) -> Any:
    """The `dispatch` that has all listeners for events of a connection.

    To ask the engine is quicker, because a connection has to gather them.
    """
    # Up to SQLAlchemy 2.0 it is also true of a connection whose engine has some.
    has_own = connection._has_events  # noqa: SLF001
    return connection.dispatch if has_own else connection.engine.dispatch


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
        driver: what the driver does in a way of its own.
        options: execution options, for SQLAlchemy; None if nobody sees it.
    """

    __slots__ = (
        "_compiled",
        "_driver",
        "_options",
        "connection",
        "driver_connection",
    )

    def __init__(
        self,
        connection: Connection,
        compiled: Callable[[Executable], Compiled],
        driver: Driver,
        options: Mapping[str, Any] | None,
    ) -> None:
        self.connection = connection
        self.driver_connection: Any = connection.connection.dbapi_connection
        self._compiled = compiled
        self._driver = driver
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

    def rows_together(self, statements: Statements) -> Rows:
        """The rows of the last of several statements, which are sent together.

        Outside of a transaction, they are one. The driver has pipelines, and nobody
        observes the statements.

        Args:
            statements: each with its parameters, as in `rows()`.
        """
        compiled = [self._compiled(statement) for statement, _ in statements]
        bound = [
            each.bound(parameters)
            for each, (_, parameters) in zip(compiled, statements, strict=True)
        ]
        cursor = self._driver.cursor(self.driver_connection)
        try:
            with self.driver_connection.pipeline():
                for each, values in zip(compiled, bound, strict=True):
                    cursor = self._driver.cursor(self.driver_connection)
                    cursor.execute(each.text, values)
            rows: Rows = cursor.fetchall()
        except BaseException as error:
            self._fail(error, compiled[-1].text, cursor)
        return compiled[-1].converted(rows)

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
        compiled = self._compiled(statement)
        if self._driver.begins(self.driver_connection):
            written = self._begun_with(compiled, parameters)
            if written is not None:
                return written
        # Not closed, because some drivers forget the numbers then.
        return self._executed(compiled, parameters)

    def commit_with(self, compiled: Compiled, rows: Sequence[Any]) -> None:
        """Executes a statement, and COMMIT; see `Driver.commit_with()`."""
        try:
            self._driver.commit_with(self.driver_connection, compiled, rows)
        except BaseException as error:
            self._fail(error, compiled.text, None)

    def execute_many(
        self, statement: Executable, names: Sequence[str], rows: Rows
    ) -> None:
        """Executes an INSERT, once for each of the given rows.

        Args:
            statement: as in `rows()`; returns no rows.
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
        with self.cursor(compiled.text) as cursor:
            self._driver.execute_many(cursor, compiled.text, bound)

    @property
    def is_observed(self) -> bool:
        """Whether somebody sees the statements."""
        return self._options is not None

    def text(self, statement: Executable) -> str:
        """A statement as the driver takes it."""
        return self._compiled(statement).text

    def bound_rows(
        self, statement: Executable, names: Sequence[str], rows: Rows
    ) -> Sequence[Any]:
        """The parameters of several executions, as the driver takes them.

        Args:
            statement: as in `rows()`.
            names: of its parameters.
            rows: their values.
        """
        return self._compiled(statement).bound_rows(names, rows)

    @contextmanager
    def cursor(self, text: str) -> Iterator[Any]:
        """A cursor of the driver's, whose errors become SQLAlchemy's.

        Args:
            text: of the statement that it is to execute.
        """
        cursor = self._driver.cursor(self.driver_connection)
        try:
            yield cursor
        except BaseException as error:
            self._fail(error, text, cursor)
        cursor.close()

    def run(self, text: str) -> None:
        """Executes a text without parameters, such as COMMIT."""
        if self._options is not None:
            self.connection.exec_driver_sql(text)
            return
        # Not with cursor(), whose block takes longer than a BEGIN.
        cursor = self._driver.cursor(self.driver_connection)
        try:
            cursor.execute(text)
        except BaseException as error:
            self._fail(error, text, cursor)
        cursor.close()

    def _begun_with(
        self, compiled: Compiled, parameters: Mapping[str, Any]
    ) -> Written | None:
        bound = compiled.bound(parameters)
        try:
            return self._driver.begin_with(self.driver_connection, compiled, bound)
        except BaseException as error:
            self._fail(error, compiled.text, None)

    def _executed(self, compiled: Compiled, parameters: Mapping[str, Any]) -> Any:
        bound = compiled.bound(parameters)
        cursor = self._driver.cursor(self.driver_connection)
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
        try:
            return self.connection.execute(
                statement, parameters, execution_options=self._options
            )
        except _ABOUT_VALUES as error:
            raise exc.StatementError(str(error), None, None, error, True) from error

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
