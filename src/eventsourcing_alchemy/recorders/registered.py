"""Recorders of an application, which has a row of its own."""

from contextlib import suppress

from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.errors import no_application, same_name
from eventsourcing_alchemy.host import DatabaseError
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.statements.applications import registered
from eventsourcing_alchemy.statements.executor import Executor


class RegisteredRecorder(SQLAlchemyRecorder):
    """A recorder of an application, which has a row in `es_applications`."""

    @apart_from_sessions()
    def register(self) -> None:
        """Adds the application to the database, unless it is there.

        In a transaction of its own, so that the first events of an application, if
        they are rolled back, take nothing away that others wait for. Where the user
        of the database may only read, it is left to who may write.

        Raises:
            OperationalError: if the database cannot be reached.
            ProgrammingError: if the database takes the name for that of another
                application.
        """
        if self.datastore.retrying(self._is_registered):
            return
        with suppress(DatabaseError):
            self.datastore.retrying(self._register)

    def _is_registered(self) -> bool:
        with self.datastore.statement() as executor:
            return self._known_application_id(executor) is not None

    def _register(self) -> None:
        with self.datastore.writing() as executor:
            self.datastore.dialect.register(executor, self.name)

    def _application_id(self, executor: Executor) -> int:
        known = self._known_application_id(executor)
        if known is None:
            self.datastore.dialect.register(executor, self.name)
            known = self._known_application_id(executor)
        if known is None:
            raise no_application(self.name)
        return known

    def _known_application_id(self, executor: Executor) -> int | None:
        row = executor.first(registered(), {"application": self.name})
        if row is None:
            return None
        application_id, name = row
        if name != self.name:
            raise same_name(self.name, name)
        return int(application_id)
