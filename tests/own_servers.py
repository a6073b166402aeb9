"""Servers of the tests' own, instead of those that a machine has."""

from __future__ import annotations

import os
from contextlib import ExitStack

from faults.mariadb import MariaDBServer
from faults.postgresql import PostgreSQLServer


def start(stack: ExitStack) -> None:
    """Start them for the time of the stack. They are quick, because they forget.

    What they forget, they would forget in a power failure only.
    """
    postgresql = stack.enter_context(PostgreSQLServer())
    postgresql.execute("ALTER SYSTEM SET fsync = off")
    postgresql.execute("ALTER SYSTEM SET full_page_writes = off")
    postgresql.execute("SELECT pg_reload_conf()")
    mariadb = stack.enter_context(MariaDBServer())
    mariadb.execute("SET GLOBAL innodb_flush_log_at_trx_commit = 0")
    os.environ["TEST_POSTGRESQL_URL"] = postgresql.url()
    os.environ["TEST_MARIADB_URL"] = f"{mariadb.url()}?ssl_disabled=true"
