"""Columns for what operators want to know of a dead letter: traceback, aggregate.

Frozen once released: a revision imports nothing of the package.

Revision ID: es_0004
Revises: es_0003
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

revision = "es_0004"
down_revision = "es_0003"
branch_labels = None
depends_on = None

ALLOW = "dropping them with their rows takes the option '-x allow-data-loss=yes'"

MYSQL = ("mysql", "mariadb")
TABLE = "es_dead_letters"
COLUMNS = ("traceback", "originator_id", "originator_version")
TABLES_WITH_DATA: dict[str, tuple[str, ...]] = {
    "es_0003": ("es_dcb_events", "es_dcb_tags"),
    "es_0002": (TABLE,),
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


NAME = ExactText(255)
MESSAGE = (
    sa.UnicodeText()
    .with_variant(mysql.LONGTEXT(), *MYSQL)
    .with_variant(sa.Unicode(), "mssql")
)


def upgrade() -> None:
    """Add the columns, except those that are there already.

    They may be of an upgrade that did not end, on a database that commits each change
    by itself, or of a table that another Alembic environment has made.
    """
    schema = target_schema()
    present = present_columns(schema)
    for column in (
        sa.Column("traceback", MESSAGE),
        sa.Column("originator_id", NAME),
        sa.Column("originator_version", sa.BigInteger()),
    ):
        if column.name not in present:
            op.add_column(TABLE, column, schema=schema)


def downgrade() -> None:
    """Drop the columns.

    What they hold does not count: the text of the error stays.
    """
    schema = target_schema()
    if context.get_x_argument(as_dictionary=True).get("allow-data-loss") != "yes":
        require_no_data(present_tables(schema), schema)
    present = COLUMNS if context.is_offline_mode() else present_columns(schema)
    for name in COLUMNS:
        if name in present:
            op.drop_column(TABLE, name, schema=schema)


def target_schema() -> str | None:
    """Return the database schema of the tables, or None for the connection's."""
    attributes = context.config.attributes
    given = os.environ.get("SQLALCHEMY_SCHEMA", "").strip()
    schema = attributes.get("schema", given)
    # Or Alembic takes a dot in it for the end of a name.
    return sa.sql.quoted_name(schema, quote=None) if schema else None


def present_tables(schema: str | None) -> list[str]:
    """Return the names of the tables in the schema."""
    if context.is_offline_mode():
        return []
    return sa.inspect(op.get_bind()).get_table_names(schema)


def present_columns(schema: str | None) -> list[str]:
    """Return the names of the columns that the table has."""
    if context.is_offline_mode():
        return []
    # Inspection would warn of the types that some settings of a server make.
    nothing = sa.select(sa.text("*")).where(sa.false())
    found = op.get_bind().execute(nothing.select_from(sa.table(TABLE, schema=schema)))
    return list(found.keys())


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
