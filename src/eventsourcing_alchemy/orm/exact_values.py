"""Values that a database returns just as they were given."""

from collections.abc import Callable, Mapping
from datetime import date
from typing import Any
from uuid import UUID

from sqlalchemy import Dialect, types

_BITS = {
    types.SmallInteger: 16,
    types.SMALLINT: 16,
    types.Integer: 32,
    types.INTEGER: 32,
    types.BigInteger: 64,
    types.BIGINT: 64,
}


def is_text(type_: types.TypeEngine[Any], dialect: Dialect) -> bool:
    """Whether a database has a collation for the values of a column.

    Args:
        type_: of the column.
        dialect: SQLAlchemy's.
    """
    return isinstance(type_of(type_, dialect), types.String)


def type_of(type_: types.TypeEngine[Any], dialect: Dialect) -> types.TypeEngine[Any]:
    """The type of a column on one database, which may have a variant."""
    return type_._variant_mapping.get(dialect.name, type_)  # noqa: SLF001


def is_exact(type_: types.TypeEngine[Any], value: object, dialect: Dialect) -> bool:
    """Whether a query for a value that was written gives exactly the same.

    Decimals may be rounded, times lose a time zone, and types of the user's do as they
    like. Numbers and strings that are too large may be truncated.

    Args:
        type_: of the column.
        value: of the attribute.
        dialect: SQLAlchemy's.
    """
    if value is None:
        return True
    type_ = type_of(type_, dialect)
    check = _CHECKS.get(type(type_))
    return check is not None and check(type_, value)


def _is_integer(type_: Any, value: object) -> bool:
    limit = 1 << (_BITS[type(type_)] - 1)
    return type(value) is int and -limit <= value < limit


def _is_sized(of_type: type[str] | type[bytes]) -> Callable[[Any, Any], bool]:
    def check(type_: Any, value: Any) -> bool:
        is_short = type_.length is None or len(value) <= type_.length
        return type(value) is of_type and is_short

    return check


def _is_a(of_type: type) -> Callable[[Any, object], bool]:
    return lambda _, value: type(value) is of_type


_CHECKS: Mapping[type, Callable[[Any, Any], bool]] = {
    **dict.fromkeys(_BITS, _is_integer),
    **dict.fromkeys(
        (
            types.String,
            types.Text,
            types.Unicode,
            types.UnicodeText,
            types.VARCHAR,
            types.TEXT,
        ),
        _is_sized(str),
    ),
    types.LargeBinary: _is_sized(bytes),
    types.Boolean: _is_a(bool),
    types.Date: _is_a(date),
    types.Uuid: _is_a(UUID),
}
