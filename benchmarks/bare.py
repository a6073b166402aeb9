"""Connections of the drivers, with nothing in between."""

import sqlite3
from typing import Any

import psycopg
from psycopg.conninfo import make_conninfo

from benchmarks.jobs import Address, Job


def conninfo(address: Address) -> str:
    """For libpq."""
    return make_conninfo(
        host=address.host,
        port=address.port,
        user=address.user,
        password=address.password or None,
        dbname=address.name,
    )


def connect(job: Job) -> Any:
    """A connection in autocommit mode."""
    address = job.address
    if job.database == "postgresql":
        return psycopg.connect(conninfo(address), autocommit=True)
    if job.database == "sqlite":
        return sqlite3.connect(address.name, isolation_level=None)
    import pymysql  # It is not in every environment.

    return pymysql.connect(
        host=address.host,
        port=address.port or 3306,
        user=address.user,
        password=address.password,
        database=address.name,
        autocommit=True,
    )
