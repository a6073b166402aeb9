"""What tells expressions apart that differ in more than values."""

from collections.abc import Hashable, Sequence
from operator import add, mod, mul, sub, truediv
from typing import Any, NamedTuple

from sqlalchemy import BinaryExpression, BindParameter, ClauseElement, Column
from sqlalchemy.sql.cache_key import NO_CACHE

_SIMPLE = {add, sub, mul, mod, truediv}


class ExpressionKey(NamedTuple):
    """A key, and the parameters that it leaves out, whose values may differ."""

    key: Hashable
    parameters: Sequence[BindParameter[Any]]


def key_of(expression: Any) -> ExpressionKey | None:
    """What tells an expression apart, None where nobody knows.

    Args:
        expression: of SQLAlchemy's.
    """
    parameters: list[BindParameter[Any]] = []
    # As SQLAlchemy's, in a fraction of the time, for a column and a value.
    simple = _simple_key(expression, parameters)
    if simple is not None:
        return ExpressionKey(simple, parameters)
    if not isinstance(expression, ClauseElement):
        return None
    found = expression._generate_cache_key()  # noqa: SLF001
    return None if found is None else ExpressionKey(found.key, found.bindparams)


def _simple_key(expression: Any, parameters: list[BindParameter[Any]]) -> Hashable:
    kind = type(expression)
    if kind is Column:
        return expression  # type: ignore[no-any-return]
    if kind is BindParameter:
        return _type_key(expression, parameters)
    if kind is not BinaryExpression or expression.operator not in _SIMPLE:
        return None
    left = _simple_key(expression.left, parameters)
    right = _simple_key(expression.right, parameters)
    if left is None or right is None or expression.modifiers:
        return None
    return expression.operator, left, right


def _type_key(
    parameter: BindParameter[Any], parameters: list[BindParameter[Any]]
) -> Hashable:
    # One that occurs twice has the same value twice.
    if not parameter.unique or any(each is parameter for each in parameters):
        return None
    parameters.append(parameter)
    key: Hashable = parameter.type._static_cache_key  # noqa: SLF001
    return None if key is NO_CACHE else key
