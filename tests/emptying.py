"""Databases of servers, emptied: the next test finds them as if they were new."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection, NullPool, create_engine, make_url, select, text
from sqlalchemy.exc import DBAPIError

from backends import MariaDB, PostgreSQL, Server
from eventsourcing_alchemy import metadata
from eventsourcing_alchemy.schema.migrate import VERSION_TABLE

_OURS = {*metadata.tables, VERSION_TABLE}


class Emptying(ABC):
    """Remembers what a database has beside rows, to tell what a test has changed."""

    def __init__(self, database: Server) -> None:
        url = make_url(database.admin).set(database=database.database)
        self._engine = create_engine(
            url, poolclass=NullPool, isolation_level="AUTOCOMMIT"
        )
        with self._engine.connect() as connection:
            self._found = self._shape(connection)

    def is_done(self) -> bool:
        """Empty it; returns whether it is as it was."""
        try:
            with self._engine.connect() as connection:
                self._empty(connection)
                return bool(self._shape(connection) == self._found)
        except DBAPIError:  # A table of ours is not there, say.
            return False

    @abstractmethod
    def _empty(self, connection: Connection) -> None:
        """Drop the tables that are not ours, and delete the rows of ours."""

    @abstractmethod
    def _shape(self, connection: Connection) -> Any:
        """All that tests may change beside rows."""


class _OfPostgreSQL(Emptying):
    _tables = """
        SELECT relname, pg_relation_size(oid) > 0 AS has_rows FROM pg_class
        WHERE relnamespace = 'public'::regnamespace AND relkind = 'r'
    """
    # A change of a row of a catalog gives it another xmin; in pg_class, TRUNCATE too.
    _shapes = """
        SELECT concat_ws(' ', oid, relname, relkind, relacl, reloptions, relowner,
                         relrowsecurity, relforcerowsecurity, relpersistence,
                         relreplident, CASE relkind WHEN 'r' THEN reltuples END)
        FROM pg_class WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, attrelid, xmin)
        FROM pg_attribute WHERE attrelid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_collation WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_constraint WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, indexrelid, xmin)
        FROM pg_index WHERE indexrelid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_policy WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_proc WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_publication WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_rewrite WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, seqrelid, xmin)
        FROM pg_sequence WHERE seqrelid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, starelid, xmin)
        FROM pg_statistic WHERE starelid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_statistic_ext WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_trigger WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin)
        FROM pg_type WHERE oid >= 16384
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin) FROM pg_namespace
        WHERE nspname !~ '^pg_'
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin) FROM pg_default_acl
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin) FROM pg_extension
        UNION ALL SELECT concat_ws(' ', tableoid, oid, xmin) FROM pg_event_trigger
        UNION ALL SELECT concat_ws(' ', setrole, setconfig) FROM pg_db_role_setting
        WHERE setdatabase = (
            SELECT oid FROM pg_database WHERE datname = current_database()
        )
        UNION ALL SELECT version_num FROM public.es_alembic_version
    """

    def _empty(self, connection: Connection) -> None:
        found = connection.execute(text(self._tables)).all()
        quote = connection.dialect.identifier_preparer.quote
        others = [quote(each.relname) for each in found if each.relname not in _OURS]
        with_rows = [
            each.relname
            for each in found
            if each.has_rows and each.relname in metadata.tables
        ]
        if others:
            drop = f"DROP TABLE {', '.join(others)} CASCADE"
            connection.exec_driver_sql(drop)
        if with_rows:
            truncate = f"TRUNCATE {', '.join(with_rows)} RESTART IDENTITY"
            connection.exec_driver_sql(truncate)

    def _shape(self, connection: Connection) -> Any:
        return sorted(connection.scalars(text(self._shapes)))


class _OfMariaDB(Emptying):
    _others = """
        SELECT 'trigger', trigger_name, action_statement
        FROM information_schema.triggers WHERE trigger_schema = DATABASE()
        UNION ALL SELECT routine_type, routine_name, routine_definition
        FROM information_schema.routines WHERE routine_schema = DATABASE()
        UNION ALL SELECT 'event', event_name, event_definition
        FROM information_schema.events WHERE event_schema = DATABASE()
        UNION ALL SELECT 'granted', user, host FROM mysql.db WHERE db = DATABASE()
        UNION ALL SELECT 'granted', user, host FROM mysql.tables_priv
        WHERE db = DATABASE()
        UNION ALL SELECT 'database', default_character_set_name, default_collation_name
        FROM information_schema.schemata WHERE schema_name = DATABASE()
        UNION ALL SELECT 'version', version_num, '' FROM es_alembic_version
    """

    def _empty(self, connection: Connection) -> None:
        connection.exec_driver_sql("SET foreign_key_checks = 0")
        quote = connection.dialect.identifier_preparer.quote
        tables = self._tables(connection)
        if others := [quote(each) for each in tables if each not in _OURS]:
            connection.exec_driver_sql(f"DROP TABLE {', '.join(others)}")
        for table in metadata.tables.values():
            # Not DELETE, which leaves statistics, by which the next test would read.
            if connection.execute(select(table).limit(1)).first() is not None:
                connection.exec_driver_sql(f"TRUNCATE TABLE {table.name}")

    def _shape(self, connection: Connection) -> Any:
        statements = [
            connection.exec_driver_sql(f"SHOW CREATE TABLE {table}").one()[1]
            for table in self._tables(connection)
        ]
        created = [re.sub(r" AUTO_INCREMENT=\d+", "", each) for each in statements]
        return [*created, *connection.execute(text(self._others))]

    def _tables(self, connection: Connection) -> Sequence[str]:
        return connection.exec_driver_sql("SHOW TABLES").scalars().all()


def emptying(database: Server) -> Emptying:
    """Of a database that has our tables, and nothing else."""
    if isinstance(database, PostgreSQL):
        return _OfPostgreSQL(database)
    assert isinstance(database, MariaDB)
    return _OfMariaDB(database)
