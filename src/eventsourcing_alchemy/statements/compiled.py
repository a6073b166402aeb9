"""Statements of this package, each compiled once, as a driver takes them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from typing import Any

from sqlalchemy import Dialect, Executable, UpdateBase, exc
from sqlalchemy.types import TypeEngine

Rows = Sequence[Sequence[Any]]

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
        named = compiled.params if self._names is None else self._names
        self._bindings = [(name, self._binders.get(name)) for name in named]
        self._escaped_names: Mapping[str, str] = compiled.escaped_bind_names
        self._is_plain = self._names is None and not (
            self._binders or self._escaped_names
        )
        self.is_positional = self._names is not None
        """Whether the driver takes the parameters by their place."""
        self.names: tuple[str, ...] = tuple(
            self._names
            if self._names is not None
            else (
                self._escaped_names.get(name, name)
                for name in compiled.bind_names.values()
            )
        )
        """Of the parameters, in the text."""
        self._statement = statement
        self._dialect = dialect

    def bound(self, parameters: Mapping[str, Any]) -> Any:
        """The parameters as the driver takes them.

        Args:
            parameters: by name; without those that the statement knows itself.
        """
        known = {**self._constants, **parameters} if self._constants else parameters
        try:
            if self._is_plain:
                return {name: known[name] for name, _ in self._bindings}
            bound = [
                known[name] if binder is None else binder(known[name])
                for name, binder in self._bindings
            ]
        except Exception as error:
            raise self.refusal(error) from error
        if self._names is not None:
            return tuple(bound)
        names = (name for name, _ in self._bindings)
        return self._escaped(dict(zip(names, bound, strict=True)))

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
