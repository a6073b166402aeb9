"""Statements on events with tags; those of a query are built once for its shape."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Insert,
    Select,
    Subquery,
    bindparam,
    func,
    insert,
    literal,
    select,
    true,
    union,
)

from eventsourcing_alchemy.schema.tables import applications, dcb_events, dcb_tags
from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.statements.applications import last_position
from eventsourcing_alchemy.statements.dcb_items import (
    Value,
    Window,
    first_of,
    item_of,
    parameter,
    within,
)
from eventsourcing_alchemy.statements.dcb_query import ItemShape
from eventsourcing_alchemy.statements.parameters import application_id, row

_UPTO = bindparam("upto", type_=BigInteger)
_LIMIT = bindparam("limit", type_=BigInteger)

Shape = tuple[ItemShape, ...]


@cache
def insert_dcb_event() -> Insert:
    """Adds an event, with parameters as in `row()`."""
    return insert(dcb_events).values(row(dcb_events))


@cache
def insert_dcb_tag() -> Insert:
    """Adds a tag of an event, with parameters as in `row()`."""
    return insert(dcb_tags).values(row(dcb_tags))


@lru_cache(maxsize=1000)
def first_match(shape: Shape) -> Select[Any]:
    """The first position above `:after`, up to `:upto`, that a query finds."""
    return first_match_upto(shape, _UPTO)


@lru_cache(maxsize=1000)
def first_match_locking(shape: Shape) -> Select[Any]:
    """The same, by reads that lock what they find, and so see what is newest."""
    window = Window(_UPTO, literal(1), is_locking=True, knows_rarest=True)
    return _first_match(shape, window)


def first_match_upto(
    shape: Shape, upto: ColumnElement[int], value: Value = parameter
) -> Select[Any]:
    """The same as `first_match()`, up to the value of an expression.

    Args:
        shape: of the query.
        upto: the last position to look at.
        value: makes what stands for its values.
    """
    return _first_match(shape, Window(upto, literal(1), value=value))


def _first_match(shape: Shape, window: Window) -> Select[Any]:
    found = _matches(shape, window)
    return select(func.min(found.c.position).label("position"))


@lru_cache(maxsize=1000)
def page(shape: Shape, *, knows_rarest: bool = False) -> Select[Any]:
    """The first `:limit` events above `:after`, up to `:upto`, that a query finds.

    Args:
        shape: of the query.
        knows_rarest: as of the database's dialect.
    """
    return _page(shape, _UPTO, knows_rarest=knows_rarest)


@lru_cache(maxsize=1000)
def first_page(shape: Shape, *, knows_rarest: bool = False) -> Select[Any]:
    """The last position of `:application`, and a page as `page()` up to it.

    By one statement, so that there is nothing between the two. Without events, it
    returns one row with the position alone.
    """
    # Of the whole table, wherever it stands.
    head = last_position().correlate(None).scalar_subquery()
    found = _page(shape, head, knows_rarest=knows_rarest).subquery("page")
    return (
        select(applications.c.last_notification_id, *found.c)
        .select_from(applications.outerjoin(found, true()))
        .where(applications.c.name == bindparam("application"))
        .order_by(found.c.position)
    )


@cache
def position_of_append() -> Select[Any]:
    """The last position after `:after` of the events of `:append_id`."""
    columns = dcb_events.c
    append_id = bindparam("append_id", type_=columns.append_id.type)
    return select(func.max(columns.position)).where(
        columns.application_id == application_id(),
        columns.position > bindparam("after", type_=BigInteger),
        columns.append_id == append_id,
    )


@cache
def recorded_at() -> Select[Any]:
    """When the event at `:position` was recorded, and what time it is."""
    return select(dcb_events.c.recorded_at, database_now()).where(
        dcb_events.c.application_id == application_id(),
        dcb_events.c.position == bindparam("position", type_=BigInteger),
    )


def _page(shape: Shape, upto: ColumnElement[int], *, knows_rarest: bool) -> Select[Any]:
    columns = dcb_events.c
    statement = select(columns.position, columns.type, columns.data, columns.tags)
    window = Window(upto, _LIMIT, knows_rarest=knows_rarest)
    if shape:
        found = _matches(shape, window)
        # Not within the bounds again: PostgreSQL, without statistics, would look for
        # those instead.
        statement = statement.where(
            columns.application_id == application_id(),
            columns.position == found.c.position,
        )
    else:
        statement = statement.where(*within(dcb_events, window))
    return statement.order_by(columns.position).limit(_LIMIT)


def _matches(shape: Shape, window: Window) -> Subquery:
    """The positions that a query finds, of each item the first ones.

    An item has a subquery of its own: no database makes index ranges of one condition
    for all of them.
    """
    if not shape:
        return first_of(select(dcb_events.c.position), dcb_events, window, "all")
    each = [
        select(item_of(number, item, window).c.position)
        for number, item in enumerate(shape)
    ]
    return (each[0] if len(each) == 1 else union(*each)).subquery("found")
