"""The rows of leases, changed by compare-and-set."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any, NamedTuple

from sqlalchemy import (
    ColumnElement,
    Delete,
    Insert,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    insert,
    literal_column,
    select,
    update,
)

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import IntegrityError, ProgrammingError
from eventsourcing_alchemy.schema.tables import leases
from eventsourcing_alchemy.schema.types import database_now
from eventsourcing_alchemy.schema.validation import checked_name
from eventsourcing_alchemy.statements.parameters import row

PATIENCE = 0.1
"""Seconds in which to replace a connection that the server has closed, no more: who
holds a lease has to know soon that it cannot be renewed."""


class Holding(NamedTuple):
    """Who has a lease, and until when.

    Attributes:
        holder: name of the copy.
        token: grows by one with each change of the holder.
        expires_at: when others may take it, by the database's clock.
    """

    holder: str
    token: int
    expires_at: datetime


class LeaseRow:
    """The row of a lease. Times are the database's, so that nothing else is compared.

    Args:
        datastore: the database.
        projection_name: of the projection.
        application_name: of the application that it follows.

    Raises:
        DataError: if a name is too long, or contains what no database stores.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        projection_name: str,
        application_name: str,
    ) -> None:
        self._datastore = datastore
        self._key = {
            "projection": checked_name("The projection's name", projection_name),
            "application": checked_name("The application's name", application_name),
        }

    def __str__(self) -> str:
        name = "the lease of projection {projection!r} on application {application!r}"
        return name.format(**self._key)

    @property
    def names(self) -> tuple[str, str]:
        """Of the projection, and of the application."""
        return self._key["projection"], self._key["application"]

    @apart_from_sessions()
    def look(self) -> tuple[datetime, Holding | None]:
        """The database's clock, and what the row says at that moment."""
        self._refuse_transaction()
        now, holder, token, expires_at = self._datastore.retrying(
            self._clock_and_row, timeout=PATIENCE
        )
        if holder is None:
            return _in_utc(now), None
        return _in_utc(now), Holding(holder, token, _in_utc(expires_at))

    def _clock_and_row(self) -> Sequence[Any]:
        with self._datastore.statement() as executor:
            (row,) = executor.rows(_clock_and_row(), self._key)
            return row

    def replace(self, seen: Holding | None, new: Holding) -> bool:
        """Writes the row, if it still is as it was seen.

        Returns:
            Whether it was.
        """
        if seen is not None:
            unchanged = {f"seen_{k}": v for k, v in seen._asdict().items()}
            return self._write(_swap(), {**unchanged, **_values(new)})
        try:
            return self._write(_insert(), _values(new))
        except IntegrityError:  # Somebody else was the first.
            return False

    def expire(self, holder: str, token: int) -> None:
        """Lets the lease expire now, unless it has another holder."""
        self._write(_expire(), {"seen_holder": holder, "seen_token": token})

    def remove(self, holder: str) -> None:
        """Deletes the row, unless somebody else has taken the lease."""
        self._write(_delete(), {"seen_holder": holder})

    @apart_from_sessions()
    def _write(
        self, statement: Insert | Update | Delete, values: dict[str, Any]
    ) -> bool:
        self._refuse_transaction()
        parameters = {**self._key, **values}
        return self._datastore.retrying(
            lambda: self._has_written(statement, parameters), timeout=PATIENCE
        )

    def _has_written(
        self, statement: Insert | Update | Delete, parameters: dict[str, Any]
    ) -> bool:
        with self._datastore.writing() as executor:
            return bool(executor.execute(statement, parameters).rowcount)

    def _refuse_transaction(self) -> None:
        if self._datastore.is_in_transaction():
            msg = (
                f"Cannot acquire {self} inside a transaction: leave the transaction "
                "first"
            )
            raise ProgrammingError(msg)


def _values(new: Holding) -> dict[str, Any]:
    return {f"{k}_": v for k, v in new._asdict().items()}


def _in_utc(time: datetime) -> datetime:
    # In a zone with daylight saving, Python adds and compares what the clocks show.
    return time if time.tzinfo is None else time.astimezone(UTC)


def _is_ours() -> ColumnElement[bool]:
    return and_(
        leases.c.projection_name == bindparam("projection"),
        leases.c.application_name == bindparam("application"),
    )


@cache
def _clock_and_row() -> Select[Any]:
    """The clock, and the lease if there is one: always one row."""
    one = select(literal_column("1").label("one")).subquery()
    columns = leases.c.holder, leases.c.token, leases.c.expires_at
    return select(database_now().label("now"), *columns).select_from(
        one.outerjoin(leases, _is_ours())
    )


@cache
def _insert() -> Insert:
    """Adds a lease that nobody ever had."""
    key: dict[str, Any] = {
        "projection_name": bindparam("projection"),
        "application_name": bindparam("application"),
    }
    return insert(leases).values({**row(leases), **key})


@cache
def _swap() -> Update:
    """Changes a lease that is as it was seen."""
    values = row(leases)
    return (
        update(leases)
        .where(
            _is_ours(),
            leases.c.holder == bindparam("seen_holder"),
            leases.c.token == bindparam("seen_token"),
            leases.c.expires_at == bindparam("seen_expires_at"),
        )
        .values({name: values[name] for name in Holding._fields})
    )


@cache
def _expire() -> Update:
    """Ends a lease, unless it is somebody else's by now."""
    return (
        update(leases)
        .where(
            _is_ours(),
            leases.c.holder == bindparam("seen_holder"),
            leases.c.token == bindparam("seen_token"),
        )
        .values(expires_at=database_now())
    )


@cache
def _delete() -> Delete:
    """Deletes a lease, unless it is somebody else's by now."""
    return delete(leases).where(_is_ours(), leases.c.holder == bindparam("seen_holder"))
