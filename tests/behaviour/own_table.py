"""A table of the user's own, and the ways to write to it."""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    Table,
    func,
    insert,
    select,
)

from eventsourcing_alchemy import SQLAlchemyRecorder

metadata = MetaData()
own = Table("own", metadata, Column("id", Integer, primary_key=True))


def count_own(recorder: SQLAlchemyRecorder) -> int:
    with recorder.datastore.reading() as connection:
        return connection.scalars(select(func.count()).select_from(own)).one()


def insert_own(connection: Connection) -> None:
    connection.execute(insert(own).values(id=1))


def insert_raw(connection: Connection) -> None:
    """By a cursor of the driver's, of which SQLAlchemy knows nothing."""
    execute_raw(connection, "INSERT INTO own (id) VALUES (1)")


def do_nothing(connection: Connection) -> None:
    """The block ends."""


def execute_raw(connection: Connection, statement: str) -> None:
    driver_connection: Any = connection.connection
    cursor = driver_connection.cursor()
    cursor.execute(statement)
    cursor.close()
