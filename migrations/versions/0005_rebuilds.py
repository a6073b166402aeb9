"""A table for views that are being built anew.

Frozen once released: a revision imports nothing of the package.

Revision ID: es_0005
Revises: es_0004
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from alembic import context, op
from alembic.util import CommandError
from sqlalchemy.dialects import mysql
from sqlalchemy.ext.compiler import compiles
from sqlalchemy.sql.functions import FunctionElement

revision = "es_0005"
down_revision = "es_0004"
branch_labels = None
depends_on = None

ALLOW = "dropping them with their rows takes the option '-x allow-data-loss=yes'"

MYSQL = ("mysql", "mariadb")
OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}
TABLE = "es_rebuilds"
TABLES_WITH_DATA: dict[str, tuple[str, ...]] = {
    "es_0005": (TABLE,),
    "es_0003": ("es_dcb_events", "es_dcb_tags"),
    "es_0002": ("es_dead_letters",),
    "es_0001": (
        "es_events",
        "es_text_events",
        "es_snapshots",
        "es_text_snapshots",
        "es_tracking",
    ),
}


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


NAME = ExactText(255)
MESSAGE = (
    sa.UnicodeText()
    .with_variant(mysql.LONGTEXT(), *MYSQL)
    .with_variant(sa.Unicode(), "mssql")
)
TIME = (
    sa.DateTime(timezone=True)
    .with_variant(mysql.DATETIME(fsp=6), *MYSQL)
    .with_variant(sa.TIMESTAMP(timezone=True), "oracle")
)


def upgrade() -> None:
    """Create the table, unless it is there already.

    It may have been made by an upgrade that did not end, on a database that commits
    each table by itself, or by another Alembic environment.
    """
    schema = target_schema()
    if TABLE in present_tables(schema):
        return
    op.create_table(
        TABLE,
        sa.Column("projection_name", NAME, nullable=False),
        sa.Column("application_name", NAME, nullable=False),
        sa.Column("phase", NAME, nullable=False),
        sa.Column("position", sa.BigInteger(), nullable=False),
        sa.Column("tables", MESSAGE, nullable=False),
        sa.Column("started_at", TIME, server_default=database_now(), nullable=False),
        sa.PrimaryKeyConstraint(
            "projection_name",
            "application_name",
            name="pk_es_rebuilds",
            mssql_clustered=False,  # Clustered keys end at 900 bytes there.
        ),
        schema=schema,
        **OPTIONS,
    )


def downgrade() -> None:
    """Drop the table, if it is empty or the loss of its rows is allowed."""
    schema = target_schema()
    present = [TABLE] if context.is_offline_mode() else present_tables(schema)
    if context.get_x_argument(as_dictionary=True).get("allow-data-loss") != "yes":
        require_no_data(present, schema)
    if TABLE in present:
        op.drop_table(TABLE, schema=schema)


def target_schema() -> str | None:
    """Return the database schema of the tables, or None for the connection's."""
    attributes = context.config.attributes
    given = os.environ.get("SQLALCHEMY_SCHEMA", "").strip()
    return attributes.get("schema", given) or None


def present_tables(schema: str | None) -> list[str]:
    """Return the names of the tables in the schema."""
    if context.is_offline_mode():
        return []
    return sa.inspect(op.get_bind()).get_table_names(schema)


def undone() -> set[str]:
    """Return the revisions that the downgrade undoes, of which this is one.

    What it goes down to may be relative to where it began.
    """
    began = op.get_context().opts.setdefault("eventsourcing_alchemy_began", revision)
    revisions = context.script.revision_map.iterate_revisions(
        began,
        context.get_revision_argument() or "base",
        select_for_downgrade=True,
        assert_relative_length=False,
    )
    return {each.revision for each in revisions}


def require_no_data(present: Iterable[str], schema: str | None) -> None:
    """Raise an error if a table holds rows, or may: a script cannot look.

    A downgrade that goes on from here is refused here, before anything is dropped:
    many databases would not bring these tables back when it is refused later.
    """
    if context.is_offline_mode():
        raise CommandError(f"a script cannot tell if tables hold rows: {ALLOW}")
    for each in sorted(undone(), reverse=True):
        for name in TABLES_WITH_DATA.get(each, ()):
            if name in present:
                refuse_rows(name, schema)


def refuse_rows(name: str, schema: str | None) -> None:
    """Raise an error if a table holds rows."""
    rows = sa.select(sa.literal(1)).select_from(sa.table(name, schema=schema))
    if op.get_bind().scalar(rows.limit(1)) is not None:
        raise CommandError(f"the table {name} holds rows: {ALLOW}")
