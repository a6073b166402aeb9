"""Records of applications that there are not."""

from collections.abc import Iterator
from functools import cache
from typing import Any

from sqlalchemy import BigInteger, Select, Table, bindparam, func, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.verification.database import rows
from eventsourcing_alchemy.schema.tables import applications, metadata


def stray_records(datastore: SQLAlchemyDatastore) -> Iterator[Discrepancy]:
    """Tables with records whose application has no row in `es_applications`.

    Args:
        datastore: the database.
    """
    found = [
        (table.name, application_id)
        for table in metadata.sorted_tables
        if "application_id" in table.c
        for application_id in _ids(datastore, table)
    ]
    # Afterwards: an application may begin meanwhile.
    known = {row[0] for row in rows(datastore, select(applications.c.id))}
    for name, application_id in found:
        if application_id not in known:
            problem = (
                f"{name} has records with application_id {application_id}, but "
                "es_applications has no such row"
            )
            yield Discrepancy(None, None, problem)


def _ids(datastore: SQLAlchemyDatastore, table: Table) -> Iterator[int]:
    """Each ID once, by as many looks into the primary key."""
    found = rows(datastore, _next(table), after=-1)[0][0]
    while found is not None:
        yield found
        found = rows(datastore, _next(table), after=found)[0][0]


@cache
def _next(table: Table) -> Select[Any]:
    column = table.c.application_id
    after = bindparam("after", type_=BigInteger)
    return select(func.min(column)).where(column > after)
