"""The column types of the schema, with their form on each database."""

from __future__ import annotations

from datetime import datetime
from typing import Any
from uuid import UUID

from sqlalchemy import (
    BINARY,
    TIMESTAMP,
    BigInteger,
    DateTime,
    Dialect,
    Integer,
    LargeBinary,
    TypeDecorator,
    Unicode,
    Uuid,
)
from sqlalchemy.dialects import mssql, mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement
from sqlalchemy.types import TypeEngine

_MYSQL = ("mysql", "mariadb")


class BinaryUuid(TypeDecorator[UUID]):
    """A UUID as its 16 bytes, in a column of variable length."""

    impl: type[TypeEngine[bytes]] = LargeBinary
    cache_ok = True

    def process_bind_param(self, value: UUID | None, _dialect: Dialect) -> bytes | None:
        """Return the bytes to store."""
        return None if value is None else value.bytes

    def process_result_value(self, value: Any, _dialect: Dialect) -> UUID | None:
        """Return the UUID of the stored bytes."""
        return None if value is None else UUID(bytes=bytes(value))


class FixedBinaryUuid(BinaryUuid):
    """A UUID as its 16 bytes, in a column of exactly that length."""

    impl = BINARY
    cache_ok = True

    def __init__(self) -> None:
        super().__init__(16)


class ExactText(Unicode):
    """Text of which every code point counts: case, accents, trailing spaces.

    Databases that compare text more loosely by default, or in an order that depends
    on the server's locale, are given a binary collation.
    """


@compiles(ExactText, "postgresql")
def _postgresql_text(text: ExactText, _compiler: Any, **_: Any) -> str:
    return f'VARCHAR({text.length}) COLLATE "C"'


@compiles(ExactText, *_MYSQL)
def _mysql_text(text: ExactText, compiler: Any, **_: Any) -> str:
    # A "mysql" URL may lead to a MariaDB server, which only the dialect knows.
    mariadb = compiler.dialect.is_mariadb
    collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({text.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


@compiles(ExactText, "mssql")
def _mssql_text(text: ExactText, _compiler: Any, **_: Any) -> str:
    return f"NVARCHAR({text.length}) COLLATE Latin1_General_BIN2"


class database_now(FunctionElement[datetime]):  # noqa: N801
    """The database's clock at the moment of the statement, where it can tell it.

    Never the beginning of the transaction: events are recorded after a wait for
    their positions, and their times follow the order of their positions.
    """

    type = DateTime(timezone=True)
    inherit_cache = True


_NOW = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000','now'))",
    "mysql": "(UTC_TIMESTAMP(6))",
    "mariadb": "(UTC_TIMESTAMP(6))",
    "mssql": "SYSDATETIMEOFFSET()",
    "oracle": "SYSTIMESTAMP",
}


@compiles(database_now)
def _database_now(_element: database_now, compiler: Any, **_: Any) -> str:
    return _NOW.get(compiler.dialect.name, "CURRENT_TIMESTAMP")


Number = BigInteger()
"""Positions and versions: 64 bits everywhere (SQLite's BIGINT has that affinity)."""

SurrogateKey = BigInteger().with_variant(Integer(), "sqlite")
"""A generated key. SQLite generates values of columns of type INTEGER only."""

OriginatorUuid = (
    Uuid().with_variant(BinaryUuid(), "sqlite").with_variant(FixedBinaryUuid(), *_MYSQL)
)
"""The native type where there is one, otherwise 16 bytes."""

Name = ExactText(255)
"""Names of applications and projections, purposes, text originator IDs."""

Topic = ExactText(1024)
"""Topics of events and aggregates."""

State = (
    LargeBinary()
    .with_variant(mysql.LONGBLOB(), *_MYSQL)
    .with_variant(mssql.VARBINARY("max"), "mssql")  # type: ignore[no-untyped-call]
)
"""Serialised state. BLOB ends at 64 KiB on MySQL and MariaDB."""

RecordedAt = (
    DateTime(timezone=True)
    .with_variant(mysql.DATETIME(fsp=6), *_MYSQL)
    .with_variant(TIMESTAMP(timezone=True), "oracle")
)
"""Time of recording, in UTC where the database does not keep time zones."""
