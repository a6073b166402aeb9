"""The conditions of those who append together, as a part of the statement."""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Select,
    bindparam,
    column,
    false,
    func,
    literal,
    literal_column,
    null,
    select,
    union_all,
)
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.dialects.base import Condition
from eventsourcing_alchemy.dialects.base.dcb_appending import Append
from eventsourcing_alchemy.dialects.postgresql.arrays import Array
from eventsourcing_alchemy.statements import dcb

Shapes = tuple[dcb.Shape, ...]
"""Of the queries of conditions; of those that are alike, one."""


def condition_parameters(group: Sequence[Append]) -> tuple[Shapes, dict[str, Any]]:
    """The shapes of the conditions, and the parameters of `conflicts()`.

    Args:
        group: some of which have a condition.
    """
    if len(group) == 1:
        return _single(group[0].condition)
    alike: dict[dcb.Shape, list[tuple[int, Condition]]] = {}
    for number, append in enumerate(group):
        if append.condition is not None:
            shape = append.condition.query.shape
            alike.setdefault(shape, []).append((number, append.condition))
    shapes = tuple(sorted(alike))
    parameters: dict[str, Any] = {}
    for n, shape in enumerate(shapes):
        rows = [_row(number, condition) for number, condition in alike[shape]]
        parameters |= {
            f"{name}_of_{n}": [row[name] for row in rows] for name in rows[0]
        }
    return shapes, parameters


def _single(condition: Condition | None) -> tuple[Shapes, dict[str, Any]]:
    if condition is None:
        return (), {}
    parameters = {"after": condition.after, **condition.query.parameters}
    return (condition.query.shape,), parameters


def _row(number: int, condition: Condition) -> Mapping[str, Any]:
    return {
        "number": number,
        "after": condition.after,
        **condition.query.parameters,
    }


def conflicts(
    shapes: Shapes, upto: ColumnElement[int], *, is_single: bool
) -> Select[Any]:
    """A row for each condition that finds an event: its number in the group, and where.

    Args:
        shapes: of the conditions.
        upto: the last position to look at.
        is_single: whether there is but one who appends.
    """
    if not shapes:
        columns: list[Any] = [
            literal(0).label("number"),
            null().cast(BigInteger).label("position"),
        ]
        return select(*columns).where(false())
    if is_single:
        first = dcb.first_match_upto(shapes[0], upto).subquery("first")
        found = select(literal(0).label("number"), first.c.position).subquery("found")
    else:
        each = [_alike(n, shape, upto) for n, shape in enumerate(shapes)]
        found = union_all(*each).subquery("found")
    return select(found.c.number, found.c.position).where(found.c.position.is_not(None))


def _alike(n: int, shape: dcb.Shape, upto: ColumnElement[int]) -> Select[Any]:
    """The same for conditions of one shape, which are given as an array a value."""
    used: dict[str, TypeEngine[Any]] = {"number": BigInteger()}

    def value(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
        used[name] = type_
        # A column of its table would add that to the subquery.
        return literal_column(f"asked_{n}.{name}", type_)

    first = dcb.first_match_upto(shape, upto, value).scalar_subquery()
    # By subqueries, PostgreSQL expects as many rows for any array. Otherwise each small
    # array has a cheaper plan of its own, and a plan takes longer than the statement.
    arrays = [
        select(bindparam(f"{name}_of_{n}", type_=Array(type_))).scalar_subquery()
        for name, type_ in used.items()
    ]
    asked = (
        func.unnest(*arrays)
        .table_valued(*(column(name, type_) for name, type_ in used.items()))
        .render_derived(name=f"asked_{n}")
    )
    return select(asked.c.number, first.label("position")).select_from(asked)
