"""The databases every test runs on, and what each of them can do."""

from __future__ import annotations

import os
import re
import secrets
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from contextlib import closing, suppress
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
    SEARCH_PATH = auto()
    """A URL can say in which of several schemas a table is looked for."""
    NOTIFY = auto()
    """A commit can be announced to other processes."""
    DEPENDENT_UPSERT = auto()
    """One statement moves a position and, only if it could, writes a row."""
    STORAGE_ENGINES = auto()
    """Tables may be of an engine that has no transactions."""
    TWO_NAMES = auto()
    """Both mysql:// and mariadb:// lead to it."""
    ROW_LOCKS = auto()
    """Transactions can wait for each other's rows, and be in a deadlock."""
    ROLLBACK_BY_CONFLICT = auto()
    """A violated constraint can end the whole transaction, and the next one begins."""
    ASYNC_DRIVER = auto()
    """A driver for asyncio is among the dependencies of the tests."""
    KNOWN_STATE = auto()
    """The driver knows, without a round trip, whether there is a transaction."""
    IMPLICIT_COMMIT = auto()
    """Statements such as TRUNCATE, and procedures, commit the transaction."""
    FILE_LOCKS = auto()
    """A process has locks on a file, which its forks do not have."""
    PREPARED_PLANS = auto()
    """Plans depend on statistics, and on whether they are made for parameters."""
    LIMITED_PACKETS = auto()
    """The server closes the connection of those who send too large a statement."""
    ROW_POLICIES = auto()
    """Policies hide rows of a table from a role."""
    CURSOR_CLASSES = auto()
    """The driver makes cursors of several classes, as PyMySQL does."""
    CHARACTER_SETS = auto()
    """A URL can name a character set in which emoji become question marks."""
    KNOWN_SOCKETS = auto()
    """The driver tells the sockets of its connections."""
    OWN_CURSOR = auto()
    """Our statements are executed on the driver's cursor, where nobody sees it."""
    COUNTING_UPDATE = auto()
    """Positions are taken by an UPDATE that tells the value that it has set."""
    KNOWN_SIDE_EFFECTS = auto()
    """It can be asked whether writing to a table runs anything else."""
    KNOWN_ERRORS = auto()
    """What an error means is known by more than the class of its SQLSTATE."""
    ANY_VALUE = auto()
    """Columns take values that are not of their type."""
    SERVER = auto()
    """Connections are sessions of a server, which can list and end them."""


@dataclass(frozen=True)
class Backend:
    """A kind of database or, once `fresh`, one empty database of that kind."""

    name: str
    url: str
    capabilities: frozenset[Capability] = frozenset()
    is_observed: bool = field(default=False, kw_only=True)
    """Whether somebody listens to the statements that are executed on it."""
    other_settings: ClassVar[Mapping[str, str]] = {}
    """Query of a URL for sessions that work in other ways than by default."""
    script_settings: ClassVar[Mapping[str, str]] = {}
    """Query of a URL for drivers that execute several statements in one string."""
    has_tables: ClassVar[bool] = False
    """Whether tests find our tables, which are made beforehand."""

    @property
    def place(self) -> str:
        """Where the databases are, for people."""
        return self.url

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
    """A file, beside which SQLite keeps others only while it is open.

    The queue of the writers stays: who deletes it while others open it divides them.
    """

    has_tables = True

    @property
    def place(self) -> str:
        return "in temporary folders"

    def fresh(self, directory: Path) -> Backend:
        return replace(self, url=f"sqlite:///{directory / 'test.db'}")

    def leftovers(self) -> Sequence[str]:
        path = Path(make_url(self.url).database or "")
        _tidy_up(path)
        others = set(path.parent.iterdir()) - {path}
        # Or what was to become the queue, of a process that was killed meanwhile.
        queue = re.compile(re.escape(f"{path.name}-queue") + r"(\w{8})?")
        return [f"file {each}" for each in others if not queue.fullmatch(each.name)]


def _tidy_up(path: Path) -> None:
    """Deletes the log, unless it is in use.

    Of two processes that close it at one moment, SQLite takes neither for the last.
    """
    if path.with_name(f"{path.name}-wal").exists():
        with suppress(sqlite3.Error), closing(sqlite3.connect(path)) as connection:
            connection.execute("SELECT * FROM sqlite_master").fetchall()


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

    has_tables = True
    _create: ClassVar[str]
    _sessions: ClassVar[str]

    @property
    def admin(self) -> str:
        """The URL to create databases through."""
        return os.environ.get(self.variable, self.usual)

    @property
    def place(self) -> str:
        return make_url(self.admin).render_as_string(hide_password=True)

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

    other_settings: ClassVar[Mapping[str, str]] = {
        "options": "-c DateStyle=SQL,DMY -c TimeZone=America/St_Johns"
        " -c bytea_output=escape -c standard_conforming_strings=off"
        " -c extra_float_digits=-15 -c array_nulls=off -c xmloption=document"
        " -c transform_null_equals=on -c quote_all_identifiers=on"
        " -c default_transaction_isolation=serializable"
    }
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
        url = make_url(self.admin).set(database=self.database)
        with _connected(url.render_as_string(hide_password=False)) as connection:
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

    other_settings: ClassVar[Mapping[str, str]] = {
        "init_command": "SET SESSION time_zone = '-03:30',"
        " sql_mode = 'ANSI_QUOTES,IGNORE_SPACE,NO_BACKSLASH_ESCAPES,PIPES_AS_CONCAT,"
        "PAD_CHAR_TO_FULL_LENGTH,NO_UNSIGNED_SUBTRACTION,TIME_ROUND_FRACTIONAL,"
        "NO_AUTO_VALUE_ON_ZERO,ONLY_FULL_GROUP_BY,HIGH_NOT_PRECEDENCE',"
        " sql_safe_updates = 1, completion_type = 1, sql_auto_is_null = 1,"
        " sql_select_limit = 1,"
        " tx_isolation = 'SERIALIZABLE'"
    }
    script_settings: ClassVar[Mapping[str, str]] = {"client_flag": "65536"}
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


_KNOWN = {
    Capability.OWN_CURSOR,
    Capability.KNOWN_ERRORS,
    Capability.KNOWN_SIDE_EFFECTS,
    Capability.KNOWN_STATE,
}
_EVERY_SHARED = {Capability.SHARED, Capability.MVCC, Capability.LOCK_TIMEOUT}

FILE = frozenset(
    _KNOWN
    | _EVERY_SHARED
    | {
        Capability.TRANSACTIONAL_DDL,
        Capability.ASYNC_DRIVER,
        Capability.FILE_LOCKS,
        Capability.ROLLBACK_BY_CONFLICT,
        Capability.ANY_VALUE,
    }
)
"""What files of SQLite can do."""

BACKENDS: Sequence[Backend] = (
    Backend(
        "sqlite-memory",
        "sqlite:///:memory:",
        frozenset(
            _KNOWN
            | {
                Capability.TRANSACTIONAL_DDL,
                Capability.ROLLBACK_BY_CONFLICT,
                Capability.ANY_VALUE,
            }
        ),
    ),
    SQLiteFile(
        "sqlite-file",
        "sqlite://",
        FILE,
    ),
    PostgreSQL(
        "postgresql",
        "",
        frozenset(
            set(Capability)
            - {
                Capability.ANY_VALUE,
                Capability.CHARACTER_SETS,
                Capability.FILE_LOCKS,
                Capability.IMPLICIT_COMMIT,
                Capability.LIMITED_PACKETS,
                Capability.ROLLBACK_BY_CONFLICT,
                Capability.STORAGE_ENGINES,
                Capability.TWO_NAMES,
            }
        ),
        variable="TEST_POSTGRESQL_URL",
        usual="postgresql+psycopg://postgres@127.0.0.1:5432/postgres",
    ),
    MariaDB(
        "mariadb",
        "",
        frozenset(
            _KNOWN
            | _EVERY_SHARED
            | {
                Capability.SERVER,
                Capability.KNOWN_SOCKETS,
                Capability.CHARACTER_SETS,
                Capability.COUNTING_UPDATE,
                Capability.LIMITED_PACKETS,
                Capability.ROW_LOCKS,
                Capability.IMPLICIT_COMMIT,
                Capability.CURSOR_CLASSES,
                Capability.STORAGE_ENGINES,
                Capability.TWO_NAMES,
            }
        ),
        variable="TEST_MARIADB_URL",
        # Or PyMySQL would load the certificates of the system for each connection.
        usual="mariadb+pymysql://root@127.0.0.1:3306/test?ssl_disabled=true",
    ),
)

OBSERVED: Sequence[Backend] = [
    replace(
        each,
        name=f"{each.name}-observed",
        capabilities=each.capabilities - {Capability.OWN_CURSOR},
        is_observed=True,
    )
    for each in BACKENDS
    if Capability.SHARED in each.capabilities
]
