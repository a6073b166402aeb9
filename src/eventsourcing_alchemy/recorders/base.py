"""What all recorders have in common."""

from contextlib import AbstractContextManager

from eventsourcing.persistence import ProgrammingError, Recorder
from sqlalchemy import Connection

from eventsourcing_alchemy import migrate
from eventsourcing_alchemy.binds import Bind
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.validation import checked_name


class SQLAlchemyRecorder(Recorder):
    """What all recorders have in common.

    Args:
        datastore: the database.
        name: of the application or projection whose records these are.

    Raises:
        DataError: if the name is too long.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        self.datastore = datastore
        self.name = checked_name("The name", name)

    def transaction(
        self, bind: Bind | None = None
    ) -> AbstractContextManager[Connection]:
        """A transaction that every recorder of the same database joins.

        See `SQLAlchemyDatastore.transaction()`.

        Args:
            bind: a connection or session of the caller's, to take part in its
                transaction.
        """
        return self.datastore.transaction(bind)

    def create_table(self) -> None:
        """Creates the tables that the database lacks, by the migrations.

        Any number of processes may do so at the same time.

        Raises:
            DatabaseError: if the database refuses.
        """
        missing = self._look_for_missing_tables()
        if missing:
            with self.datastore.migrating() as connection:
                self._create_tables(connection)

    def check_table(self) -> None:
        """Checks that the database has all tables.

        Raises:
            ProgrammingError: names those that it lacks, and the remedy.
        """
        missing = self._look_for_missing_tables()
        if missing:
            msg = (
                f"The database lacks the tables {', '.join(missing)}, and CREATE_TABLE "
                f"is off: run 'alembic upgrade head' (for tables of your views, your "
                f"own migration), or set CREATE_TABLE=yes"
            )
            raise ProgrammingError(msg)

    def _look_for_missing_tables(self) -> list[str]:
        store = self.datastore
        with store.reading() as connection, store.answering(connection):
            return self._missing_tables(connection)

    def _missing_tables(self, connection: Connection) -> list[str]:
        return migrate.missing_tables(connection, self.datastore.settings.schema)

    def _create_tables(self, connection: Connection) -> None:
        migrate.upgrade(connection, self.datastore.settings.schema)
