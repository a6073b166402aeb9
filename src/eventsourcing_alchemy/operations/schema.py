"""The schema: which revision it has, and how it gets the one that is needed."""

from collections.abc import Sequence
from dataclasses import dataclass

from sqlalchemy import Connection

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.dialects.lookup import dialect_of
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import DatabaseError, ProgrammingError
from eventsourcing_alchemy.operations.reading import Reader, read
from eventsourcing_alchemy.operations.schema_differences import table_differences
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from eventsourcing_alchemy.schema.migrate import (
    VERSION_TABLE,
    current_revision,
    head_revision,
    missing,
    revisions,
    to_head,
)


@dataclass(frozen=True)
class SchemaStatus:
    """The schema of a database.

    Attributes:
        revision: of the schema; None if our migrations never made it.
        head: the revision that this version of the package needs.
        missing: tables, or columns, that are not there.
        problem: why the user of the database cannot read the revision, None if it can.
        is_newer: whether a newer version of the package has made the revision.
    """

    revision: str | None
    head: str | None
    missing: Sequence[str]
    problem: str | None = None
    is_newer: bool = False

    @property
    def remedy(self) -> str:
        """What to do unless it is current."""
        if self.is_newer:
            return "upgrade the package eventsourcing-alchemy, which is older"
        if self.revision == self.head:
            return (
                "restore them, or create missing tables again by 'alembic stamp base' "
                "and 'alembic upgrade head'"
            )
        return "run 'eventsourcing-alchemy schema upgrade'"

    def __str__(self) -> str:
        revision = self.revision or "no revision"
        instead = "" if self.revision == self.head else f" instead of {self.head}"
        lacking = f", and lacks {', '.join(self.missing)}" if self.missing else ""
        return f"The schema is at {revision}{instead}{lacking}: {self.remedy}"

    @property
    def is_current(self) -> bool:
        """Whether there is nothing to upgrade."""
        is_known = self.problem is None
        return not self.missing and (self.revision == self.head or not is_known)


@dataclass(frozen=True)
class Upgrade:
    """What an upgrade did.

    Attributes:
        before: the status until then.
        after: the status now.
    """

    before: SchemaStatus
    after: SchemaStatus


def schema_status(datastore: SQLAlchemyDatastore) -> SchemaStatus:
    """The revision of the schema, and what it lacks.

    Args:
        datastore: the database.

    Raises:
        PersistenceError: if the database fails.
    """
    schema = datastore.schema
    return read(datastore, lambda reader: _status(reader.connection, schema))


def _status(connection: Connection, schema: str | None) -> SchemaStatus:
    # With the package, it would take as long to import as all the rest.
    from alembic.util import CommandError

    try:
        with translated(), connection.begin_nested():
            revision = current_revision(connection, schema)
    except CommandError as error:
        msg = f"{VERSION_TABLE} has several rows: delete all but the newest revision"
        raise ProgrammingError(msg) from error
    except DatabaseError as error:
        if error_kind_of(error, dialect_of(connection)) is not ErrorKind.REFUSED:
            raise
        # The role for applications need not see it.
        lacking = missing(connection, schema)
        return SchemaStatus(None, head_revision(), lacking, str(error))
    known = revisions()
    is_newer = revision is not None and revision not in known
    # Last: PostgreSQL does no more after a refusal, which this does not tell.
    lacking = missing(connection, schema)
    return SchemaStatus(revision, known[0], lacking, is_newer=is_newer)


@apart_from_sessions()
def upgrade_schema(datastore: SQLAlchemyDatastore) -> Upgrade:
    """Runs the migrations that the database has not seen; waits for others who do so.

    Args:
        datastore: the database, to which tables may be added.

    Raises:
        ProgrammingError: if Alembic refuses, or the schema is a newer one.
        PersistenceError: if the database fails.
    """
    schema = datastore.schema
    with datastore.migrating() as connection:
        before = _status(connection, schema)
        if before.is_newer:
            found = f"The schema is at {before.revision}, not {before.head}"
            raise ProgrammingError(f"{found}: {before.remedy}")
        to_head(connection, schema)
    return Upgrade(before, schema_status(datastore))


def schema_differences(datastore: SQLAlchemyDatastore) -> Sequence[str]:
    """What differs from the tables that this version of the package declares.

    Args:
        datastore: the database.

    Returns:
        In Alembic's words where Alembic compares it; or what is missing, where the
        revision is an older one.

    Raises:
        PersistenceError: if the database fails.
    """
    status = schema_status(datastore)
    if not status.is_current:
        return [str(status), *(f"{each} is missing" for each in status.missing)]
    schema = datastore.schema

    def look(reader: Reader) -> Sequence[str]:
        return table_differences(reader.connection, schema)

    return read(datastore, look)
