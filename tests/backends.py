"""The databases every test runs on, and what each of them can do."""

from __future__ import annotations

import os
import secrets
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field, replace
from enum import StrEnum, auto
from functools import cache
from itertools import count
from pathlib import Path
from typing import ClassVar

from sqlalchemy import Connection, Engine, NullPool, create_engine, make_url, text
from sqlalchemy.exc import OperationalError
from sqlalchemy.schema import DropSchema

_NUMBERS = count(1)
_RUN = f"es_test_{os.getpid()}_{secrets.token_hex(3)}"


class Capability(StrEnum):
    """What a test may need of a database; see the marker ``needs``."""

    SHARED = auto()
    """Another factory, or process, finds the same data under the same URL."""
    MVCC = auto()
    """Readers neither wait for an open transaction nor see what it wrote."""
    LOCK_TIMEOUT = auto()
    """A connection can wait for another one's lock, and give up."""
    TRANSACTIONAL_DDL = auto()
    """A rollback undoes CREATE TABLE."""
    SCHEMAS = auto()
    """CREATE SCHEMA makes a namespace within the database, dropped with it."""
    NOTIFY = auto()
    """A commit can be announced to other processes."""
    DEPENDENT_UPSERT = auto()
    """One statement moves a position and, only if it could, writes a row."""
    TWO_NAMES = auto()
    """Both mysql:// and mariadb:// lead to it."""
    ROW_LOCKS = auto()
    """Transactions can wait for each other's rows, and be in a deadlock."""
    FILE_LOCKS = auto()
    """A process has locks on a file, which its forks do not have."""
    PREPARED_PLANS = auto()
    """Plans depend on statistics, and on whether they are made for parameters."""
    SERVER = auto()
    """Connections are sessions of a server, which can list and end them."""


@dataclass(frozen=True)
class Backend:
    """A kind of database or, once `fresh`, one empty database of that kind."""

    name: str
    url: str
    capabilities: frozenset[Capability] = frozenset()

    def unreachable(self) -> str | None:
        """The reason why there are no databases of this kind here."""
        return None

    def fresh(self, directory: Path) -> Backend:  # noqa: ARG002
        """Make an empty database, in the directory if it is a file."""
        return self

    def leftovers(self) -> Sequence[str]:
        """What a test left open or behind, as the database itself sees it."""
        return ()

    def discard(self, *, reusable: bool) -> None:
        """Drop what `fresh` made; `reusable` if nobody is connected any more."""

    def finish(self) -> None:
        """Drop what was kept for reuse."""


class SQLiteFile(Backend):
    """A file, beside which SQLite keeps others only while it is open."""

    def fresh(self, directory: Path) -> Backend:
        return replace(self, url=f"sqlite:///{directory / 'test.db'}")

    def leftovers(self) -> Sequence[str]:
        path = Path(make_url(self.url).database or "")
        return [f"file {other}" for other in path.parent.iterdir() if other != path]


@cache
def _unreachable(url: str) -> str | None:
    try:
        with _connected(url):
            return None
    except (OperationalError, ImportError) as error:
        return str(error).partition("\n")[0]


@cache
def _engine(url: str) -> Engine:
    return create_engine(
        url,
        poolclass=NullPool,
        isolation_level="AUTOCOMMIT",
        connect_args={"connect_timeout": 5},
    )


def _connected(url: str) -> Connection:
    return _engine(url).connect()


@dataclass(frozen=True)
class Server(Backend, ABC):
    """A database server, at the URL of a variable, or at that of most machines."""

    variable: str = ""
    usual: str = field(default="", repr=False)

    _create: ClassVar[str]
    _sessions: ClassVar[str]

    @property
    def admin(self) -> str:
        """The URL to create databases through."""
        return os.environ.get(self.variable, self.usual)

    def unreachable(self) -> str | None:
        return _unreachable(self.admin)

    def fresh(self, directory: Path) -> Backend:  # noqa: ARG002
        database = f"{_RUN}_{next(_NUMBERS)}"
        with _connected(self.admin) as connection:
            connection.execute(text(self._create.format(database)))
        url = make_url(self.admin).set(database=database)
        return replace(self, url=url.render_as_string(hide_password=False))

    def leftovers(self) -> Sequence[str]:
        with _connected(self.admin) as connection:
            found = connection.execute(text(self._sessions), {"name": self.database})
            return [f"server connection {session}" for session in found]

    def discard(self, *, reusable: bool) -> None:  # noqa: ARG002
        with _connected(self.admin) as connection:
            self._drop(connection)

    @property
    def database(self) -> str:
        """The name of the database."""
        return make_url(self.url).database or ""

    @abstractmethod
    def _drop(self, connection: Connection) -> None:
        """Drop the database and end its sessions."""


@dataclass(frozen=True)
class PostgreSQL(Server):
    """Databases are slow to create here, so those left in order are used again."""

    _create = "CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log"
    _sessions = """
        SELECT pid, application_name, state, query FROM pg_stat_activity
        WHERE datname = :name AND backend_type = 'client backend'
    """
    _schemas = """
        SELECT nspname FROM pg_namespace
        WHERE nspname !~ '^pg_' AND nspname <> 'information_schema'
    """
    _emptied: list[PostgreSQL] = field(default_factory=list, compare=False, repr=False)

    def fresh(self, directory: Path) -> Backend:
        return self._emptied.pop() if self._emptied else super().fresh(directory)

    def discard(self, *, reusable: bool) -> None:
        if reusable:
            self._empty()
        else:
            super().discard(reusable=False)

    def finish(self) -> None:
        for database in self._emptied:
            database.discard(reusable=False)

    def _empty(self) -> None:
        with _connected(self.url) as connection:
            schemas = connection.scalars(text(self._schemas))
            for schema in schemas.all():
                connection.execute(DropSchema(schema, cascade=True))
            connection.exec_driver_sql("CREATE SCHEMA public")
        self._emptied.append(self)

    def _drop(self, connection: Connection) -> None:
        connection.execute(text(f"DROP DATABASE {self.database} WITH (FORCE)"))


@dataclass(frozen=True)
class MariaDB(Server):
    """DROP DATABASE would wait for the locks of open transactions here."""

    _create = "CREATE DATABASE {}"
    _sessions = """
        SELECT id, user, command, info FROM information_schema.processlist
        WHERE db = :name
    """

    def _drop(self, connection: Connection) -> None:
        sessions = connection.execute(text(self._sessions), {"name": self.database})
        for session in sessions.all():
            with suppress(OperationalError):  # It has ended by itself.
                connection.execute(text(f"KILL {session.id}"))
        connection.execute(text(f"DROP DATABASE {self.database}"))


_EVERY_SHARED = {Capability.SHARED, Capability.MVCC, Capability.LOCK_TIMEOUT}

BACKENDS: Sequence[Backend] = (
    Backend(
        "sqlite-memory", "sqlite:///:memory:", frozenset({Capability.TRANSACTIONAL_DDL})
    ),
    SQLiteFile(
        "sqlite-file",
        "sqlite://",
        frozenset(
            _EVERY_SHARED | {Capability.TRANSACTIONAL_DDL, Capability.FILE_LOCKS}
        ),
    ),
    PostgreSQL(
        "postgresql",
        "",
        frozenset(set(Capability) - {Capability.FILE_LOCKS, Capability.TWO_NAMES}),
        variable="TEST_POSTGRESQL_URL",
        usual="postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    ),
    MariaDB(
        "mariadb",
        "",
        frozenset(
            _EVERY_SHARED
            | {Capability.SERVER, Capability.ROW_LOCKS, Capability.TWO_NAMES}
        ),
        variable="TEST_MARIADB_URL",
        usual="mariadb+pymysql://root@127.0.0.1:3306/test",
    ),
)
