"""Upserts that differ in nothing but values have one statement, compiled once."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple, Protocol, cast

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Connection,
    CursorResult,
    Dialect,
    Executable,
    Table,
    bindparam,
)
from sqlalchemy.sql.visitors import replacement_traverse
from sqlalchemy.types import NullType, TypeEngine

from eventsourcing_alchemy.dialects.base.upserts import Merge
from eventsourcing_alchemy.dialects.lookup import dialect_beside
from eventsourcing_alchemy.statements.compiled import Compiled
from eventsourcing_alchemy.upserts.expression_keys import key_of
from eventsourcing_alchemy.upserts.independence import is_independent
from eventsourcing_alchemy.upserts.parameters import is_late, is_sql, value_of
from eventsourcing_alchemy.upserts.targets import Schemas, Target, kept, target_of

SCHEMAS = "schema_translate_map"
"""The execution option of SQLAlchemy's."""


class Row(Protocol):
    """What an `upsert()` writes."""

    @property
    def table(self) -> Table:
        """To write to."""

    @property
    def values(self) -> Mapping[str, Any]:
        """Of the row, if it is new."""

    @property
    def set_(self) -> Mapping[str, Any]:
        """Of the row, if it is there."""

    @property
    def index_elements(self) -> Sequence[str]:
        """Names of the columns that tell whether it is there."""


class Plan(NamedTuple):
    """The statement of upserts that differ in nothing but values.

    Attributes:
        compiled: the statement.
        names: of its parameters.
        target: the table.
        is_independent: whether it reads its own row only.
        is_collected: whether several are executed at once on this database.
        tracked: the same, executed together with `advance_tracking()`, and only if
            that finds its row, which it returns. None where that is not possible.
        merge: makes fewer statements of several rows, None where the driver does.
    """

    compiled: Compiled
    names: tuple[str, ...]
    target: Target
    is_independent: bool
    is_collected: bool
    tracked: Executable | None
    merge: Merge | None = None

    def bound(self, values: Iterable[Any]) -> Any:
        """Values of all parameters, in their order, as the driver takes them."""
        return self.compiled.bound(dict(zip(self.names, values, strict=True)))

    def execute(
        self,
        connection: Connection,
        rows: Sequence[Any],
        options: Mapping[str, Any] | None = None,
    ) -> CursorResult[Any]:
        """Executes it once for each row.

        Args:
            connection: of the dialect that it is compiled for.
            rows: parameters as the driver takes them.
            options: execution options.

        Returns:
            The result of all, or of the last where the driver executes one by one.
        """
        is_of_many = self.is_collected and self.merge is None and len(rows) > 1
        together = [rows] if is_of_many else rows
        for parameters in together:
            result = connection.exec_driver_sql(
                self.compiled.text, parameters, execution_options=options
            )
        return result

    def execute_merged(self, connection: Connection, rows: Sequence[Any]) -> None:
        """Executes it once for each row, by as few statements as possible.

        Args:
            connection: as in `execute()`.
            rows: as there; may be none; of a table without side effects.
        """
        if self.merge is None:
            if rows:
                self.execute(connection, rows)
            return
        for text, parameters in self.merge(self.compiled.text, rows):
            connection.exec_driver_sql(text, parameters)


class Planned(NamedTuple):
    """A plan, and the values of its parameters.

    Attributes:
        plan: the statement.
        values: in the order of its parameters.
        named: by index, what has a value only when it is executed.
    """

    plan: Plan
    values: Sequence[Any]
    named: Mapping[int, BindParameter[Any]]

    def by_name(self, parameters: Mapping[str, Any]) -> dict[str, Any]:
        """The values by the names of their parameters.

        Args:
            parameters: given by the user, by the user's names.

        Raises:
            StatementError: if one is missing.
        """
        values = dict(zip(self.plan.names, self.values, strict=True))
        for index, parameter in self.named.items():
            values[self.plan.names[index]] = value_of(parameter, parameters)
        return values

    def bound(self, parameters: Mapping[str, Any]) -> Any:
        """The values as the driver takes them; see `by_name()`."""
        return self.plan.compiled.bound(self.by_name(parameters))


def planned(upsert: Row, dialect: Dialect, schemas: Schemas) -> Planned | None:
    """How to execute an upsert, None where only SQLAlchemy knows.

    Args:
        upsert: to be executed.
        dialect: SQLAlchemy's.
        schemas: the `schema_translate_map`.
    """
    new, set_ = _Values(upsert.values), _Values(upsert.set_)
    if not new.are_plain or not set_.have_keys:
        return None
    key = dialect, *schemas.items(), new.key, *upsert.index_elements, set_.key
    plan = kept(upsert.table, key, lambda: _plan(upsert, dialect, schemas, new, set_))
    if plan is None:
        return None
    values = [*new.values, *set_.values]
    named = {index: each for index, each in enumerate(values) if is_late(each)}
    return Planned(plan, values, named)


class _Values:
    """What is written: values, and expressions that have values in them."""

    def __init__(self, by_column: Mapping[str, Any]) -> None:
        key: list[Any] = []
        self.values: list[Any] = []
        """Of them, parameters whose values are known later stand for themselves."""
        self.parameters: dict[str, Sequence[BindParameter[Any]]] = {}
        """By column, the parameters of an expression that the values come from."""
        self.have_keys = self.are_plain = True
        for name, value in by_column.items():
            if not is_sql(value):
                key.append(name)
                self.values.append(value)
                continue
            self.are_plain = self.are_plain and isinstance(value, BindParameter)
            found = key_of(value)
            if found is None or not all(map(_is_value, found.parameters)):
                self.have_keys = self.are_plain = False
                return
            key.append((name, found.key))
            self.parameters[name] = found.parameters
            self.values += [
                each if is_late(each) else each.effective_value
                for each in found.parameters
            ]
        self.key = tuple(key)


def _is_value(parameter: BindParameter[Any]) -> bool:
    """Whether it stands for one value, and for nothing else."""
    return not (parameter.expanding or parameter.literal_execute)


def _is_complete(upsert: Row) -> bool:
    """Whether all it takes to insert the row are the values."""
    columns = upsert.table.columns
    return all(
        # Of Python: those of the database are its own business.
        column.default is None
        and column.onupdate is None
        and (column.key in upsert.values or not column.primary_key)
        for column in columns
    )


def _plan(
    upsert: Row, dialect: Dialect, schemas: Schemas, new: _Values, others: _Values
) -> Plan | None:
    # SQLAlchemy itself adds "_none" for None.
    if schemas.keys() - {None, "_none"} or not _is_complete(upsert):
        return None
    names = _Names(upsert.table)
    row = names.of_columns(upsert.values, new.parameters)
    set_ = names.of_columns(upsert.set_, others.parameters)
    ours = dialect_beside(dialect)
    parts = upsert.table, row, set_, upsert.index_elements
    statement = ours.upsert_statement(*parts)
    if statement is None:
        return None
    may_wait = is_independent(upsert.table, upsert.values, upsert.set_)
    return Plan(
        Compiled(statement, dialect, schemas.get(None)),
        tuple(names.given),
        target_of(upsert.table, dialect, schemas),
        may_wait,
        ours.collects_upserts,
        ours.tracked_upsert_statement(*parts) if may_wait else None,
        ours.merge_of_upserts(len(new.values)),
    )


class _Names:
    """Names of parameters, numbered: a column may be called whatever it likes.

    Args:
        table: has the columns.
    """

    def __init__(self, table: Table) -> None:
        self.given: list[str] = []
        self._columns = table.columns

    def of_columns(
        self,
        by_column: Mapping[str, Any],
        parameters: Mapping[str, Sequence[BindParameter[Any]]],
    ) -> dict[str, Any]:
        """The same, with parameters of these names in place of all values."""
        return {
            name: self._replaced(value, parameters[name], self._columns[name].type)
            if name in parameters
            else self._parameter(self._columns[name].type)
            for name, value in by_column.items()
        }

    def _parameter(self, type_: TypeEngine[Any]) -> BindParameter[Any]:
        self.given.append(f"es_{len(self.given)}")
        return bindparam(self.given[-1], type_=type_)

    def _replaced(
        self,
        expression: ClauseElement,
        parameters: Sequence[BindParameter[Any]],
        type_: TypeEngine[Any],
    ) -> ClauseElement:
        others = {
            each: self._parameter(type_ if each is expression else each.type)
            if isinstance(each.type, NullType)
            else self._parameter(each.type)
            for each in parameters
        }

        def other(element: Any, **_: Any) -> BindParameter[Any] | None:
            return others.get(element) if isinstance(element, BindParameter) else None

        return cast("ClauseElement", replacement_traverse(expression, {}, other))
