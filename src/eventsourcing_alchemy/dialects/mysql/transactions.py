"""Transactions, which many a statement, and error, ends."""

import re
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager, suppress
from hashlib import blake2b
from typing import Any

from sqlalchemy import (
    Connection,
    bindparam,
    exc,
    func,
    select,
    text,
)

from eventsourcing_alchemy.dialects.base.marks import Mark
from eventsourcing_alchemy.dialects.base.transactions import (
    BEFORE_A_STATEMENT,
    Transactions,
)
from eventsourcing_alchemy.dialects.mysql.watching_cursor import mark_of
from eventsourcing_alchemy.host import OperationalError

_MIGRATION_LOCK = "eventsourcing_alchemy"

_COMMITS = re.compile(
    BEFORE_A_STATEMENT + r"("
    r"(?:CREATE(?:\s+OR\s+REPLACE)?|DROP)\s+(?!TEMPORARY\b|PREPARE\b|OR\b)\w+"
    r"|(?:ALTER|RENAME|LOCK|ANALYZE|OPTIMIZE|REPAIR|CHECK)\s+\w+|TRUNCATE|UNLOCK\s+TABLES"
    r"|FLUSH|GRANT|REVOKE|RESET|CACHE\s+INDEX|LOAD\s+INDEX|(?:UN)?INSTALL|BACKUP"
    r"|SET\s+PASSWORD|SET\s+(?:SESSION\s+|LOCAL\s+|@@(?:SESSION\.|LOCAL\.)?)?AUTOCOMMIT"
    r"|(?:START|STOP)\s+(?:ALL\s+)?(?:SLAVES?|REPLICA)|CHANGE\s+\w+|XA)\b",
    re.IGNORECASE | re.DOTALL,
)

_DEFAULT_WITHOUT_TRANSACTIONS = text(
    "SELECT engine FROM information_schema.engines "
    "WHERE engine = @@default_storage_engine AND transactions = 'NO'"
)

_SET_DEFAULT = text("SET SESSION default_storage_engine = :engine")

_WITHOUT_TRANSACTIONS = text(
    "SELECT table_name FROM information_schema.tables "
    "JOIN information_schema.engines USING (engine) "
    "WHERE table_schema = coalesce(:schema, database()) "
    "AND table_name IN :tables AND transactions = 'NO'"
).bindparams(bindparam("tables", expanding=True))


class MySQLTransactions(Transactions):
    """Transactions, which many a statement, and error, ends."""

    def commits_each_statement(self, connection: Connection) -> bool:
        """Whether the driver is in autocommit mode."""
        driver_connection: Any = connection.connection.dbapi_connection
        # Of PyMySQL and mysqlclient; of Oracle's and MariaDB's Connector, an attribute.
        tell = getattr(driver_connection, "get_autocommit", None)
        return bool(driver_connection.autocommit if tell is None else tell())

    def mark(self, connection: Connection) -> Mark | None:
        """The number of transactions that ended before, where PyMySQL's cursors see."""
        return mark_of(connection.connection.dbapi_connection)

    def refusal(self, statement: str) -> str | None:
        """Also what commits implicitly."""
        if (found := _COMMITS.match(statement)) is not None:
            return (
                f"{found[1].upper()} inside a transaction, which MySQL and MariaDB "
                f"would commit before: use DELETE instead of TRUNCATE, and change the "
                f"schema in a migration, or in a transaction of its own "
                f"(engine.begin())"
            )
        return super().refusal(statement)

    @contextmanager
    def migrating(self, connection: Connection) -> Iterator[None]:
        """Holds a named lock of the server, because DDL commits."""
        database = str(connection.engine.url.database)
        digest = blake2b(database.encode(), digest_size=16).hexdigest()
        name = f"{_MIGRATION_LOCK}.{digest}"
        if connection.scalar(select(func.get_lock(name, 60))) != 1:
            msg = "Waited 60 s for another process that migrates the database"
            raise OperationalError(msg)
        try:
            with _making_tables_with_transactions(connection):
                yield
        finally:
            # It is gone with a connection that is lost; and what has interrupted a
            # statement is the error to raise.
            with suppress(exc.SQLAlchemyError):
                connection.scalar(select(func.release_lock(name)))

    def without_transactions(
        self, connection: Connection, schema: str | None, tables: Collection[str]
    ) -> Sequence[str]:
        """Those of MyISAM, Aria or MEMORY, say."""
        parameters = {"schema": schema, "tables": list(tables)}
        return connection.scalars(_WITHOUT_TRANSACTIONS, parameters).all()


@contextmanager
def _making_tables_with_transactions(connection: Connection) -> Iterator[None]:
    """Has tables that name no engine made by one that can roll back."""
    default = connection.scalar(_DEFAULT_WITHOUT_TRANSACTIONS)
    if default is None:
        yield
        return
    connection.execute(_SET_DEFAULT, {"engine": "InnoDB"})
    try:
        yield
    finally:
        with suppress(exc.SQLAlchemyError):  # Of a connection that is lost.
            connection.execute(_SET_DEFAULT, {"engine": default})
