"""Parameters that statements have in common."""

from functools import cache, lru_cache
from typing import Any

from sqlalchemy import (
    BindParameter,
    Insert,
    ScalarSelect,
    Select,
    Table,
    bindparam,
    insert,
    literal,
    select,
)

from eventsourcing_alchemy.schema.tables import applications


def application_id() -> ScalarSelect[int]:
    """The ID of `:application`, looked up by the statement that needs it.

    An ID that was remembered could be that of another application by now: a rollback
    or a restored backup takes rows away.
    """
    return (
        select(applications.c.id)
        .where(applications.c.name == bindparam("application"))
        .scalar_subquery()
    )


def row(table: Table) -> dict[str, BindParameter[Any]]:
    """A parameter for each column that has a value given: its name, and `_`."""
    return {
        column.name: bindparam(f"{column.name}_", type_=column.type)
        for column in table.c
        if column.server_default is None and column.autoincrement is not True
    }


@lru_cache
def insert_columns(table: Table, columns: tuple[str, ...]) -> Insert:
    """Adds a row with these columns, each given by a parameter: its name, and `_`."""
    given = {name: bindparam(f"{name}_", type_=table.c[name].type) for name in columns}
    return insert(table).values(given)


@cache
def one() -> Select[Any]:
    """One row, of whatever the database has."""
    return select(literal(1))
