"""Databases for the contestants, which are dropped at the end."""

import os
import secrets
from abc import ABC, abstractmethod
from dataclasses import replace
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, make_url, text

from benchmarks.contestants import url
from benchmarks.jobs import Address

_RUN = f"bench_{os.getpid()}_{secrets.token_hex(2)}"


class Databases(ABC):
    """Databases of one kind, each of which has a name within this run."""

    kind: str

    @abstractmethod
    def empty(self, name: str) -> Address:
        """An empty database, also where there was one of this name."""

    @abstractmethod
    def settle(self, address: Address) -> None:
        """Does at once what a database does some time after it was filled."""

    @abstractmethod
    def facts(self) -> dict[str, str]:
        """About the server."""

    @abstractmethod
    def close(self) -> None:
        """Drops them."""


class SQLiteFiles(Databases):
    """Files in a folder."""

    kind = "sqlite"

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def empty(self, name: str) -> Address:
        """A file that is not there yet."""
        path = self._folder / f"{name}.db"
        for each in self._folder.glob(f"{name}.db*"):
            each.unlink()
        return Address(str(path))

    def settle(self, address: Address) -> None:
        """Gathers statistics, and moves the log into the file."""
        with _connected(self.kind, address) as connection:
            connection.exec_driver_sql("ANALYZE")
            connection.exec_driver_sql("PRAGMA wal_checkpoint(TRUNCATE)")

    def facts(self) -> dict[str, str]:
        """The version."""
        with _connected(self.kind, Address(":memory:")) as connection:
            version = connection.exec_driver_sql("SELECT sqlite_version()").scalar()
        return {"version": f"SQLite {version}"}

    def close(self) -> None:
        """Deletes them."""
        for each in self._folder.glob("*.db*"):
            each.unlink()


class Server(Databases):
    """Databases of a server, at the URL of a variable, or at that of most machines."""

    variable: str
    usual: str
    create: str
    drop: str
    analyze: str
    settings: tuple[str, ...]
    setting: str

    def __init__(self) -> None:
        admin = make_url(os.environ.get(self.variable, self.usual))
        self._admin = Address(
            admin.database or "",
            admin.host or "",
            admin.port or 0,
            admin.username or "",
            admin.password or "",
        )
        self._made: set[str] = set()

    def empty(self, name: str) -> Address:
        """A new database in the place of one that may be there."""
        database = f"{_RUN}_{name}".replace("-", "_")
        with _connected(self.kind, self._admin) as connection:
            connection.execute(text(self.drop.format(database)))
            connection.execute(text(self.create.format(database)))
        self._made.add(database)
        return replace(self._admin, name=database)

    def settle(self, address: Address) -> None:
        """Gathers statistics."""
        with _connected(self.kind, address) as connection:
            for statement in self._analyzing(connection):
                connection.exec_driver_sql(statement)

    def _analyzing(self, connection: Connection) -> list[str]:  # noqa: ARG002
        return [self.analyze]

    def facts(self) -> dict[str, str]:
        """The version, and settings that matter."""
        with _connected(self.kind, self._admin) as connection:
            version = connection.exec_driver_sql("SELECT version()").scalar()
            settings = {
                name: str(connection.exec_driver_sql(self.setting + name).scalar())
                for name in self.settings
            }
        return {"version": str(version).partition(" on ")[0], **settings}

    def close(self) -> None:
        """Drops them."""
        with _connected(self.kind, self._admin) as connection:
            for database in self._made:
                connection.execute(text(self.drop.format(database)))


class PostgreSQL(Server):
    """Of PostgreSQL."""

    kind = "postgresql"
    variable = "TEST_POSTGRESQL_URL"
    usual = "postgresql+psycopg://postgres@127.0.0.1:5432/postgres"
    create = "CREATE DATABASE {} TEMPLATE template0 STRATEGY wal_log"
    drop = "DROP DATABASE IF EXISTS {} WITH (FORCE)"
    analyze = "VACUUM ANALYZE"
    setting = "SHOW "
    settings = ("synchronous_commit", "fsync", "full_page_writes", "shared_buffers")


class MariaDB(Server):
    """Of MariaDB."""

    kind = "mariadb"
    variable = "TEST_MARIADB_URL"
    usual = "mariadb+pymysql://root@127.0.0.1:3306/test"
    create = "CREATE DATABASE {}"
    drop = "DROP DATABASE IF EXISTS {}"
    setting = "SELECT @@"
    settings = ("innodb_flush_log_at_trx_commit", "sync_binlog", "log_bin")

    def _analyzing(self, connection: Connection) -> list[str]:
        tables = connection.exec_driver_sql("SHOW TABLES").scalars()
        return [f"ANALYZE TABLE {table}" for table in tables]


def _connected(kind: str, address: Address) -> Connection:
    engine = create_engine(
        url(kind, address), poolclass=NullPool, isolation_level="AUTOCOMMIT"
    )
    return engine.connect()
