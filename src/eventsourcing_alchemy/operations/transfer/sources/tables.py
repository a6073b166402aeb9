"""Tables that several modules have, under names of their own."""

from typing import Any

from sqlalchemy import BigInteger, Column, MetaData, String, Table
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.schema.types import State


def records(name: str, id_type: TypeEngine[Any], *columns: Column[int]) -> Table:
    """A table of events or snapshots.

    Args:
        name: of the table.
        id_type: of the column with the aggregate's ID.
        *columns: others.
    """
    return Table(
        name,
        MetaData(),
        *columns,
        Column("originator_id", id_type),
        Column("originator_version", BigInteger),
        Column("topic", String),
        Column("state", State),
    )


def positions(name: str) -> Table:
    """A table of the positions of a projection.

    Args:
        name: of the table.
    """
    return Table(
        name,
        MetaData(),
        Column("application_name", String),
        Column("notification_id", BigInteger),
    )
