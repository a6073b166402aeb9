"""Upserts that differ in nothing but values have one statement, compiled once."""

from collections.abc import Mapping
from itertools import count
from typing import TYPE_CHECKING, Any, NamedTuple

from sqlalchemy import (
    BindParameter,
    ClauseElement,
    Connection,
    SelectBase,
    TextClause,
    bindparam,
)
from sqlalchemy.sql.visitors import iterate

from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.executors import Compiled

if TYPE_CHECKING:
    from eventsourcing_alchemy.upserts import Upsert

_KEPT = "eventsourcing_alchemy_upserts"

MOST_PLANS = 100
"""Plans that are kept for a table."""


class Plan(NamedTuple):
    """The statement of upserts that differ in nothing but values.

    Attributes:
        compiled: the statement.
        names: of its parameters.
        can_wait: whether it reads and writes its own table only, on a database where
            several are executed at once.
    """

    compiled: Compiled
    names: tuple[str, ...]
    can_wait: bool


class Planned(NamedTuple):
    """A plan, and the values of its parameters."""

    plan: Plan
    values: tuple[Any, ...]

    @property
    def parameters(self) -> Any:
        """As the driver takes them."""
        named = dict(zip(self.plan.names, self.values, strict=True))
        return self.plan.compiled.bound(named)


def planned(upsert: "Upsert", connection: Connection) -> Planned | None:
    """How to execute an upsert, None where only SQLAlchemy knows.

    Args:
        upsert: to be executed.
        connection: to execute it on.
    """
    schemas = connection.get_execution_options().get("schema_translate_map") or {}
    expressions = _Expressions(upsert.set_)
    if not expressions.have_keys or any(map(_is_sql, upsert.values.values())):
        return None
    key = (
        # Copies of a table share their `info`.
        upsert.table,
        connection.dialect,
        *schemas.items(),
        *upsert.values,
        *upsert.index_elements,
        expressions.key,
    )
    plans = upsert.table.info.setdefault(_KEPT, {})
    if key not in plans:
        if len(plans) >= MOST_PLANS:
            plans.clear()
        plans[key] = _plan(upsert, connection, schemas, expressions)
    plan = plans[key]
    if plan is None:
        return None
    return Planned(plan, (*upsert.values.values(), *expressions.values))


class _Expressions:
    """What is set: values, and expressions that have values in them."""

    def __init__(self, set_: Mapping[str, Any]) -> None:
        key: list[Any] = []
        self.values: list[Any] = []
        self.bound: list[BindParameter[Any] | None] = []
        """For each value, the parameter of an expression that it comes from."""
        self.have_keys = True
        for name, value in set_.items():
            if not _is_sql(value):
                key.append(name)
                self._bind(None, value)
                continue
            # By what SQLAlchemy itself tells statements apart.
            cache_key = (
                value._generate_cache_key()  # noqa: SLF001
                if isinstance(value, ClauseElement)
                else None
            )
            if cache_key is None or not all(map(_is_value, cache_key.bindparams)):
                self.have_keys = False
                return
            key.append((name, cache_key.key))
            for each in cache_key.bindparams:
                self._bind(each, each.effective_value)
        self.key = tuple(key)

    def _bind(self, parameter: BindParameter[Any] | None, value: Any) -> None:
        self.bound.append(parameter)
        self.values.append(value)


def _is_value(parameter: BindParameter[Any]) -> bool:
    """Whether it stands for a value in an expression, and for nothing else."""
    return parameter.unique and not (parameter.expanding or parameter.literal_execute)


def _is_sql(value: object) -> bool:
    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")


def _is_complete(upsert: "Upsert") -> bool:
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
    upsert: "Upsert",
    connection: Connection,
    schemas: Mapping[str | None, str | None],
    expressions: _Expressions,
) -> Plan | None:
    if schemas.keys() - {None} or not _is_complete(upsert):
        return None
    # Numbered, because a column may be called whatever it likes.
    columns, numbers = upsert.table.columns, count()
    row = {
        name: bindparam(f"es_{next(numbers)}", type_=columns[name].type)
        for name in upsert.values
    }
    set_ = {
        name: value
        if isinstance(value, ClauseElement)
        else bindparam(f"es_{next(numbers)}", type_=columns[name].type)
        for name, value in upsert.set_.items()
    }
    dialect = dialect_of(connection)
    statement = dialect.upsert_statement(upsert.table, row, set_, upsert.index_elements)
    if statement is None:
        return None
    compiled = Compiled(statement, connection.dialect, schemas.get(None))
    own = iter([each.key for each in set_.values() if isinstance(each, BindParameter)])
    names = [each.key for each in row.values()]
    for parameter in expressions.bound:
        name = next(own) if parameter is None else compiled.name_of(parameter)
        if name is None:  # The dialect has made a copy of the expression.
            return None
        names.append(name)
    can_wait = dialect.collects_upserts and _is_independent(upsert)
    return Plan(compiled, tuple(names), can_wait)


def _is_independent(upsert: "Upsert") -> bool:
    return all(
        getattr(element, "table", upsert.table) is upsert.table
        and not isinstance(element, SelectBase | TextClause)
        for value in upsert.set_.values()
        if isinstance(value, ClauseElement)
        for element in iterate(value)
    )
