"""An item of a query, as a part of a statement."""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
    String,
    Subquery,
    bindparam,
    func,
    literal,
    select,
    union_all,
)
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.schema.tables import dcb_events, dcb_tags
from eventsourcing_alchemy.statements.dcb_query import ItemShape
from eventsourcing_alchemy.statements.parameters import application_id

JOINED = 8
"""Tags of an item that are joined, where the database knows with which to begin."""

LOOKED_UP = 40
"""Tags of an item that are looked up one by one. The others are counted together."""

SAMPLED = 16
"""Tags of an item among which the rarest is looked for."""

SAMPLE = 100
"""Events of a tag that are counted, to find out which tag of an item is the rarest."""

Value = Callable[[str, TypeEngine[Any]], ColumnElement[Any]]
"""Makes what stands for a value: `after`, or a type or tag as in `Query.parameters`."""


def parameter(name: str, type_: TypeEngine[Any]) -> ColumnElement[Any]:
    """Stands for a value that is given when the statement is executed."""
    return bindparam(name, type_=type_)


class Window(NamedTuple):
    """Where to look, and how.

    Attributes:
        upto: the last position.
        limit: number of events at the most.
        is_locking: whether each read locks what it finds.
        value: makes what stands for a value.
        knows_rarest: whether the database itself begins a join with the rarest tag,
            also without statistics.
    """

    upto: ColumnElement[int]
    limit: ColumnElement[int]
    is_locking: bool = False
    value: Value = parameter
    knows_rarest: bool = False

    @property
    def after(self) -> ColumnElement[int]:
        """The position to start after."""
        return self.value("after", BigInteger())


def item_of(number: int, item: ItemShape, window: Window) -> Subquery:
    """The first positions that an item finds.

    Args:
        number: of the item in its query.
        item: its shape.
        window: where to look.
    """
    source: Any = dcb_tags.alias() if item.tags else dcb_events
    statement = select(source.c.position)
    if item.types:
        types = _values("type", number, item.types, window)
        statement = statement.where(source.c.type.in_(types))
    tags = _values("tag", number, item.tags, window)
    if len(tags) == 1:
        statement = statement.where(source.c.tag == tags[0])
    elif tags and window.knows_rarest:
        statement = statement.where(source.c.tag == tags[0])
        statement = _joined(statement, source, tags[1:JOINED])
        statement = _looked_up(statement, source, tags[JOINED:LOOKED_UP], window)
    elif tags:
        statement = statement.where(source.c.tag == _rarest(tags, window))
        statement = _looked_up(statement, source, tags[:LOOKED_UP], window)
    statement = _counted(statement, source, tags[LOOKED_UP:], window)
    return first_of(statement, source, window, f"item_{number}")


def _values(
    what: str, number: int, count: int, window: Window
) -> list[ColumnElement[str]]:
    return [window.value(f"{what}_{number}_{n}", String()) for n in range(count)]


def _rarest(tags: Sequence[ColumnElement[str]], window: Window) -> Any:
    """The tag of an item that has the fewest events within the bounds.

    Without statistics, databases guess, and may read all events of the most frequent
    one. No tag is counted further than needed.
    """
    samples = [
        select(tag.label("tag"), _sample(tag, window).label("number"))
        for tag in tags[:SAMPLED]
    ]
    sampled = union_all(*samples).subquery("sampled")
    rarest = select(sampled.c.tag).order_by(sampled.c.number).limit(literal(1))
    return rarest.scalar_subquery()


def _sample(tag: ColumnElement[str], window: Window) -> Any:
    source = dcb_tags.alias()
    bounds = within(source, window)
    found = select(source.c.position).where(source.c.tag == tag, *bounds)
    some = found.limit(literal(SAMPLE)).subquery()
    return select(func.count()).select_from(some).scalar_subquery()


def _looked_up(
    statement: Select[Any],
    first: Any,
    tags: Sequence[ColumnElement[str]],
    window: Window,
) -> Select[Any]:
    """Each by a subquery, of which no database makes a join that reads more."""
    for tag in tags:
        other = dcb_tags.alias()
        found = select(func.count()).select_from(other)
        found = found.where(*_same_event(other, first), other.c.tag == tag)
        number = _locking(found, window).scalar_subquery()
        statement = statement.where(number > 0)
    return statement


def _joined(
    statement: Select[Any], first: Any, tags: Sequence[ColumnElement[str]]
) -> Select[Any]:
    for tag in tags:
        other = dcb_tags.alias()
        statement = statement.where(*_same_event(other, first), other.c.tag == tag)
    return statement


def _counted(
    statement: Select[Any],
    first: Any,
    tags: Sequence[ColumnElement[str]],
    window: Window,
) -> Select[Any]:
    if not tags:
        return statement
    others = dcb_tags.alias()
    counting = select(func.count()).select_from(others)
    counting = counting.where(*_same_event(others, first), others.c.tag.in_(tags))
    number = _locking(counting, window).scalar_subquery()
    return statement.where(number == len(tags))


def _same_event(one: Any, other: Any) -> list[ColumnElement[bool]]:
    return [
        one.c.application_id == other.c.application_id,
        one.c.position == other.c.position,
    ]


def first_of(
    statement: Select[Any], source: Any, window: Window, name: str
) -> Subquery:
    """The first positions that a statement finds.

    Args:
        statement: selects the positions.
        source: has them.
        window: where to look.
        name: of the subquery.
    """
    bounds = within(source, window)
    statement = statement.where(*bounds).order_by(source.c.position)
    return _locking(statement.limit(window.limit), window).subquery(name)


def _locking(statement: Select[Any], window: Window) -> Select[Any]:
    return statement.with_for_update(read=True) if window.is_locking else statement


def within(source: FromClause, window: Window) -> list[ColumnElement[bool]]:
    """That a row is one of the application, and in the window."""
    return [
        source.c.application_id == application_id(),
        source.c.position > window.after,
        source.c.position <= window.upto,
    ]
