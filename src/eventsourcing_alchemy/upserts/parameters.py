"""The parameters of an upsert that is declared once, and executed with values."""

from collections.abc import Collection, Iterable, Mapping
from typing import Any

from sqlalchemy import BindParameter, ClauseElement, bindparam, exc
from sqlalchemy.sql.visitors import iterate, replacement_traverse

Parameters = Mapping[str, Any]
"""By name, the values of one execution."""


def is_sql(value: object) -> bool:
    """Whether it is an expression, or a parameter, rather than a value."""
    return isinstance(value, ClauseElement) or hasattr(value, "__clause_element__")


def is_named(value: object) -> bool:
    """Whether it is a parameter that is given a value when it is executed."""
    return isinstance(value, BindParameter) and not value.unique


def is_late(value: object) -> bool:
    """Whether it is a parameter whose value is known only when it is executed."""
    return isinstance(value, BindParameter) and (
        is_named(value) or value.callable is not None
    )


def value_of(parameter: BindParameter[Any], parameters: Parameters) -> Any:
    """The value of a parameter: given, or its default.

    Raises:
        StatementError: if there is none.
    """
    if parameter.key in parameters:
        return parameters[parameter.key]
    if parameter.required:
        msg = (
            f"upsert(): a value is required for parameter {parameter.key!r}: execute "
            f"it with {{{parameter.key!r}: …}}"
        )
        raise exc.StatementError(msg, None, None, ValueError(msg), True)
    return parameter.effective_value


def names_in(values: Iterable[Any]) -> frozenset[str]:
    """The names of the parameters in values and expressions."""
    return frozenset(
        element.key
        for value in values
        if isinstance(value, ClauseElement)
        for element in iterate(value)
        if isinstance(element, BindParameter) and is_named(element)
    )


def check_names(given: Parameters, names: Collection[str], table: str) -> None:
    """Makes sure that an upsert has the parameters which are given.

    Raises:
        ValueError: if it has not.
    """
    if unknown := given.keys() - names:
        msg = (
            f"upsert() into {table!r}: unknown parameters {sorted(unknown)}: it has "
            f"{sorted(names) or 'its values already'}; declare others by bindparam()"
        )
        raise ValueError(msg)


def filled(value: Any, parameters: Parameters) -> Any:
    """A value, or an expression, with values in place of its parameters."""
    if not isinstance(value, ClauseElement):
        return value

    def replaced(element: Any, **_: Any) -> BindParameter[Any] | None:
        if not is_named(element):
            return None
        given = value_of(element, parameters)
        return bindparam(
            None,
            given,
            type_=element.type,
            unique=True,
            expanding=element.expanding,
            literal_execute=element.literal_execute,
        )

    return replacement_traverse(value, {}, replaced)
