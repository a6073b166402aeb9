"""What an upsert reads, which tells whether it may wait for others."""

from collections.abc import Iterable, Mapping
from typing import Any

from sqlalchemy import BindParameter, SelectBase, Table, TextClause, bindparam
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.sql.operators import custom_op
from sqlalchemy.sql.visitors import iterate
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.upserts.parameters import is_sql


def is_independent(table: Table, *written: Mapping[str, Any]) -> bool:
    """Whether what is written depends on its own row only, as far as can be told.

    Args:
        table: to write to.
        written: values and expressions, by column name.
    """
    return all(
        _is_bound_as_it_is(table.columns[name].type)
        and all(_reads_nothing_else(element, table) for element in _elements(value))
        for by_column in written
        for name, value in by_column.items()
    )


def _elements(value: Any) -> Iterable[Any]:
    return iterate(value) if is_sql(value) else ()


def _is_bound_as_it_is(type_: TypeEngine[Any]) -> bool:
    # Otherwise by a function, which may be the user's.
    return type_.bind_expression(bindparam(None)) is None


def _reads_nothing_else(element: Any, table: Table) -> bool:
    if isinstance(element, BindParameter):
        return _is_bound_as_it_is(element.type)
    return (
        getattr(element, "table", table) is table
        and not isinstance(element, SelectBase | TextClause)
        and not isinstance(getattr(element, "operator", None), custom_op)
        and (not isinstance(element, FunctionElement) or _is_pure(element))
    )


_PURE = {"abs", "coalesce", "concat", "greatest", "least", "length", "lower", "nullif"}
_PURE |= {"now", "replace", "round", "substr", "substring", "trim", "upper"}
"""Functions of the databases that read nothing but their arguments, and the clock."""


def _is_pure(function: FunctionElement[Any]) -> bool:
    # Another one may be the user's, and read a table.
    is_known = getattr(function, "name", "").lower() in _PURE
    return is_known and not getattr(function, "packagenames", ())
