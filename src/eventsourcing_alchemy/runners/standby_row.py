"""The row of a copy that stands by, for those who want to know how many there are."""

import logging
from datetime import timedelta
from functools import cache
from time import monotonic
from typing import Any

from sqlalchemy import Delete, Insert, delete, insert, or_

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.runners.lease_rows import LeaseRow
from eventsourcing_alchemy.schema.tables import standbys
from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.statements.parameters import row

logger = logging.getLogger("eventsourcing_alchemy")

PATIENCE = 0.1
"""Seconds in which to try again: nothing but a display depends on it."""


class StandbyRow:
    """Says that a copy waits for a lease, and until when that is to be believed.

    Args:
        datastore: the database.
        lease: that it waits for.
        holder: name of the copy.
        duration: seconds of the lease. A row that is not renewed counts twice as long.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        lease: LeaseRow,
        holder: str,
        duration: float,
    ) -> None:
        self._datastore = datastore
        self._lease = lease
        self._duration = duration
        projection, application = lease.names
        self._key = {
            "projection_name_": projection,
            "application_name_": application,
            "holder_": holder,
        }
        self._is_shown = False
        self._is_told = False
        self._due = float("-inf")

    def show(self) -> None:
        """Writes the row, no more often than once in each `duration`.

        An error is logged once: standing by does not depend on it.
        """
        if monotonic() < self._due:
            return
        self._due = monotonic() + self._duration
        self._is_shown = True
        try:
            now, _ = self._lease.look()
            until = now + timedelta(seconds=2 * self._duration)
            self._write({**self._key, "expires_at_": until}, _delete_old(), _insert())
        except PersistenceError as error:
            if not self._is_told:
                logger.warning("Cannot show that a copy stands by: %s", str(error))
            self._is_told = True

    def hide(self) -> None:
        """Deletes the row, if there may be one. If that fails, it expires."""
        if not self._is_shown:
            return
        self._is_shown, self._due = False, float("-inf")
        try:
            self._write(self._key, _delete_old())
        except PersistenceError as error:
            logger.debug("Cannot delete a row of %s: %s", standbys.name, str(error))

    @apart_from_sessions()
    def _write(self, values: dict[str, Any], *statements: Delete | Insert) -> None:
        def write() -> None:
            with self._datastore.writing() as executor:
                for each in statements:
                    executor.execute(each, values)

        self._datastore.retrying(write, timeout=PATIENCE)


@cache
def _delete_old() -> Delete:
    """The row of this copy, and those of copies that have died."""
    columns, values = standbys.c, row(standbys)
    return delete(standbys).where(
        columns.projection_name == values["projection_name"],
        columns.application_name == values["application_name"],
        or_(
            columns.holder == values["holder"],
            columns.expires_at < database_now(),
        ),
    )


@cache
def _insert() -> Insert:
    return insert(standbys).values(row(standbys))
