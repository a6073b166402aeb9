"""The tables of the first release.

Frozen once released: a revision imports nothing of the package.

Revision ID: es_0001
Revises:
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mssql, mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

revision = "es_0001"
down_revision = None
branch_labels = ("eventsourcing_alchemy",)
depends_on = None

ALLOW = "dropping them with their rows takes the option '-x allow-data-loss=yes'"

MYSQL = ("mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
TABLES = (
    "es_events",
    "es_text_events",
    "es_snapshots",
    "es_text_snapshots",
    "es_tracking",
    "es_applications",
)


class ExactText(sa.Unicode):
    """Text of which every code point counts: case, accents, trailing spaces."""


@compiles(ExactText, "postgresql")
def _postgresql_text(text: ExactText, _compiler: Any, **_: Any) -> str:
    return f'VARCHAR({text.length}) COLLATE "C"'


@compiles(ExactText, *MYSQL)
def _mysql_text(text: ExactText, compiler: Any, **_: Any) -> str:
    mariadb = compiler.dialect.is_mariadb
    collation = "utf8mb4_nopad_bin" if mariadb else "utf8mb4_0900_bin"
    return f"VARCHAR({text.length}) CHARACTER SET utf8mb4 COLLATE {collation}"


@compiles(ExactText, "mssql")
def _mssql_text(text: ExactText, _compiler: Any, **_: Any) -> str:
    return f"NVARCHAR({text.length}) COLLATE Latin1_General_BIN2"


class database_now(FunctionElement[Any]):  # noqa: N801
    """The database's clock at the moment of the statement."""

    inherit_cache = True


NOW = {
    "postgresql": "clock_timestamp()",
    "sqlite": "(strftime('%Y-%m-%d %H:%M:%f000','now'))",
    "mysql": "(UTC_TIMESTAMP(6))",
    "mariadb": "(UTC_TIMESTAMP(6))",
    "mssql": "SYSDATETIMEOFFSET()",
    "oracle": "SYSTIMESTAMP",
}


@compiles(database_now)
def _database_now(_element: database_now, compiler: Any, **_: Any) -> str:
    return NOW.get(compiler.dialect.name, "CURRENT_TIMESTAMP")


KEY = sa.BigInteger().with_variant(sa.Integer(), "sqlite")
UUID = (
    sa.Uuid()
    .with_variant(sa.LargeBinary(), "sqlite")
    .with_variant(mysql.BINARY(16), *MYSQL)
)
NAME = ExactText(255)
TOPIC = ExactText(1024)
STATE = (
    sa.LargeBinary()
    .with_variant(mysql.LONGBLOB(), *MYSQL)
    .with_variant(mssql.VARBINARY("max"), "mssql")  # type: ignore[no-untyped-call]
)
TIME = (
    sa.DateTime(timezone=True)
    .with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    .with_variant(sa.TIMESTAMP(timezone=True), "oracle")
)


def upgrade() -> None:
    """Create the tables, except those that are there already.

    They may have been made by an upgrade that did not end, on a database that commits
    each table by itself, or by another Alembic environment.
    """
    schema = target_schema()
    present = present_tables(schema)

    def create(name: str, *items: sa.schema.SchemaItem) -> None:
        if name not in present:
            op.create_table(name, *items, schema=schema, **OPTIONS)

    create(
        "es_applications",
        sa.Column("id", KEY, sa.Identity(), autoincrement=True, nullable=False),
        sa.Column("name", NAME, nullable=False),
        number("last_notification_id", server_default=sa.text("0")),
        sa.PrimaryKeyConstraint("id", name="pk_es_applications"),
        sa.UniqueConstraint("name", name="uq_es_applications_name"),
    )
    for name, originator_id in (("es_events", UUID), ("es_text_events", NAME)):
        create(
            name,
            number("application_id"),
            number("notification_id"),
            *record(originator_id),
            sa.PrimaryKeyConstraint(
                "application_id", "notification_id", name=f"pk_{name}"
            ),
            sa.UniqueConstraint(
                "originator_id",
                "originator_version",
                "application_id",
                name=f"uq_{name}_originator",
            ),
        )
    for name, originator_id in (("es_snapshots", UUID), ("es_text_snapshots", NAME)):
        create(
            name,
            number("application_id"),
            sa.Column("purpose", NAME, nullable=False),
            *record(originator_id),
            sa.PrimaryKeyConstraint(
                "application_id",
                "purpose",
                "originator_id",
                "originator_version",
                name=f"pk_{name}",
            ),
        )
    create(
        "es_tracking",
        sa.Column("projection_name", NAME, nullable=False),
        sa.Column("application_name", NAME, nullable=False),
        number("notification_id"),
        sa.PrimaryKeyConstraint(
            "projection_name", "application_name", name="pk_es_tracking"
        ),
    )


def downgrade() -> None:
    """Drop the tables, if they are empty or the loss of their rows is allowed."""
    schema = target_schema()
    present = TABLES if context.is_offline_mode() else present_tables(schema)
    if context.get_x_argument(as_dictionary=True).get("allow-data-loss") != "yes":
        require_no_data(present, schema)
    for name in TABLES:
        if name in present:
            op.drop_table(name, schema=schema)


def number(name: str, **options: Any) -> sa.Column[int]:
    """Return a column of 64-bit integers."""
    return sa.Column(
        name, sa.BigInteger(), autoincrement=False, nullable=False, **options
    )


def record(originator_id: sa.types.TypeEngine[Any]) -> list[sa.Column[Any]]:
    """Return the columns that events and snapshots have in common."""
    return [
        sa.Column("originator_id", originator_id, nullable=False),
        number("originator_version"),
        sa.Column("topic", TOPIC, nullable=False),
        sa.Column("state", STATE, nullable=False),
        sa.Column("recorded_at", TIME, server_default=database_now(), nullable=False),
    ]


def target_schema() -> str | None:
    """Return the database schema of the tables, or None for the connection's."""
    attributes = context.config.attributes
    return attributes.get("schema", os.environ.get("SQLALCHEMY_SCHEMA")) or None


def present_tables(schema: str | None) -> list[str]:
    """Return the names of the tables in the schema, which is created if need be."""
    if context.is_offline_mode():
        return []
    inspector = sa.inspect(op.get_bind())
    if schema is not None and not inspector.has_schema(schema):
        op.execute(sa.schema.CreateSchema(schema))
        return []
    return inspector.get_table_names(schema)


def require_no_data(tables: Iterable[str], schema: str | None) -> None:
    """Raise an error if a table holds events, or may: a script cannot look."""
    if context.is_offline_mode():
        raise CommandError(f"a script cannot tell if tables hold events: {ALLOW}")
    for name in TABLES[:-1]:
        if name in tables:
            rows = sa.select(sa.literal(1)).select_from(sa.table(name, schema=schema))
            if op.get_bind().scalar(rows.limit(1)) is not None:
                raise CommandError(f"the table {name} holds rows: {ALLOW}")
