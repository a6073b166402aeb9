"""The statements of the overview."""

from functools import cache
from typing import Any

from sqlalchemy import Select, Subquery, and_, case, func, select, union

from eventsourcing_alchemy.operations.event_tables import recorded_at
from eventsourcing_alchemy.schema.tables import (
    applications,
    dead_letters,
    leases,
    standbys,
    tracking,
)
from eventsourcing_alchemy.schema.types import database_now

RATED_EVENTS = 100
"""Events whose rate is told."""


@cache
def application_rows() -> Select[Any]:
    """Each application, with its position, and since when its last events came."""
    name, last = applications.c.name, applications.c.last_notification_id
    first_rated = case((last > RATED_EVENTS, last - RATED_EVENTS + 1), else_=1)
    return select(
        name,
        last.label("last_position"),
        recorded_at(applications.c.id, last, applications).label("recorded_at"),
        recorded_at(applications.c.id, first_rated, applications).label("rated_from"),
        database_now().label("now"),
    ).order_by(name)


@cache
def projection_rows() -> Select[Any]:
    """Each pair of projection and application that the database knows of."""
    counts, keys = _dead_letter_counts(), _keys()
    position = func.coalesce(tracking.c.notification_id, 0)
    waiting_since = recorded_at(applications.c.id, position + 1, applications, tracking)
    pairs = (
        keys.outerjoin(tracking, _same(keys, tracking))
        .outerjoin(leases, _same(keys, leases))
        .outerjoin(counts, _same(keys, counts))
        .outerjoin(applications, applications.c.name == keys.c.application_name)
    )
    return (
        select(
            keys.c.projection_name.label("name"),
            keys.c.application_name.label("application"),
            position.label("position"),
            applications.c.last_notification_id.label("last_position"),
            waiting_since.label("waiting_since"),
            leases.c.holder,
            leases.c.expires_at,
            func.coalesce(counts.c.dead_letters, 0).label("dead_letters"),
            database_now().label("now"),
        )
        .select_from(pairs)
        .order_by(keys.c.projection_name, keys.c.application_name)
    )


@cache
def standby_rows() -> Select[Any]:
    """Each copy that stands by, or did."""
    columns = standbys.c
    return select(
        columns.projection_name.label("name"),
        columns.application_name.label("application"),
        columns.holder,
        columns.expires_at,
        database_now().label("now"),
    ).order_by(columns.holder)


def _keys() -> Subquery:
    each = (
        select(table.c.projection_name, table.c.application_name)
        for table in (tracking, leases, dead_letters)
    )
    return union(*each).subquery("pairs")


def _dead_letter_counts() -> Subquery:
    key = dead_letters.c.projection_name, dead_letters.c.application_name
    count = func.count().label("dead_letters")
    return select(*key, count).group_by(*key).subquery("counts")


def _same(keys: Any, table: Any) -> Any:
    return and_(
        table.c.projection_name == keys.c.projection_name,
        table.c.application_name == keys.c.application_name,
    )
