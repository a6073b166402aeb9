"""Values that are not of the type of their column, which SQLite stores as well."""

from collections.abc import Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    Column,
    ColumnElement,
    DateTime,
    Integer,
    LargeBinary,
    Select,
    String,
    Table,
    Uuid,
    and_,
    bindparam,
    case,
    func,
    literal,
    literal_column,
    null,
    or_,
    select,
    type_coerce,
)

from eventsourcing_alchemy.dialects.base.stored_values import StoredValues

PAGE = 1000
"""Rows that a statement returns."""

SHOWN = 60
"""Characters of a value that are shown, at the most."""

_TIME = "[0-9][0-9][0-9][0-9]-[0-9][0-9]-[0-9][0-9] [0-9][0-9]:[0-9][0-9]:[0-9][0-9]*"

_KINDS = {
    "null": "missing",
    "integer": "a whole number",
    "real": "a number with a fraction",
    "text": "text",
    "blob": "bytes",
}


class SQLiteStoredValues(StoredValues):
    """By `typeof()`."""

    def misfits(self, table: Table, place: Sequence[str]) -> Select[Any] | None:
        """By the number of the row, so that each page is a range."""
        row = literal_column("rowid", BigInteger)
        places = (type_coerce(table.c[name], String) for name in place)
        problems = [_problem(column) for column in table.columns]
        columns: list[ColumnElement[Any]] = [row, *places, _key(table, place)]
        return (
            select(*columns, *problems)
            .where(
                row > bindparam("after", type_=BigInteger),
                or_(*(each.is_not(None) for each in problems)),
            )
            .order_by(row)
            .limit(PAGE)
        )


def _key(table: Table, place: Sequence[str]) -> ColumnElement[str]:
    key: ColumnElement[str] = literal("", String)
    for column in table.primary_key:
        if column.name not in place:
            key = key + f", {column.name} " + _shown(column)
    return key


def _problem(column: Column[Any]) -> ColumnElement[str]:
    """What is wrong with a value, NULL if nothing is."""
    fits, expected = _expectation(column)
    if column.nullable:
        fits = or_(column.is_(None), fits)
    kind = case(_KINDS, value=func.typeof(column))
    name: ColumnElement[str] = literal(column.name, String)
    # A state may be what nobody is to see, and long.
    if not isinstance(column.type, LargeBinary):
        name = name + " " + _shown(column)
    return case((fits, null()), else_=name + " is " + kind + f", not {expected}")


def _expectation(column: Column[Any]) -> tuple[ColumnElement[bool], str]:
    type_ = column.type
    stored = func.typeof(column)
    if isinstance(type_, Integer):
        return stored == "integer", "a whole number"
    if isinstance(type_, Uuid):
        return and_(stored == "blob", func.length(column) == 16), "a UUID of 16 bytes"
    if isinstance(type_, LargeBinary):
        return stored == "blob", "bytes"
    if isinstance(type_, DateTime):
        return and_(stored == "text", _is_time(column)), "a time"
    return stored == "text", "text"


def _is_time(column: Column[Any]) -> ColumnElement[bool]:
    text = type_coerce(column, String)
    day = func.substr(text, 1, 10)
    # SQLite takes the 30th of February for the 2nd of March, when it has to reckon.
    is_day = and_(func.date(day, "+0 days") == day, func.time(text).is_not(None))
    return and_(text.op("GLOB")(_TIME), func.coalesce(is_day, literal_column("0")))


def _shown(column: Column[Any]) -> ColumnElement[str]:
    return func.substr(func.quote(column), 1, SHOWN, type_=String)
