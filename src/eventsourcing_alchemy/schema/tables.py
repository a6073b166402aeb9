"""The tables of the schema, declared once.

Alembic revisions create them; these are for statements, and for comparing a database
with what the package expects. An application or projection is a row, never a table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
    Index,
    Integer,
    MetaData,
    PrimaryKeyConstraint,
    Table,
    Unicode,
    UnicodeText,
    UniqueConstraint,
    text,
)
from sqlalchemy.dialects import mysql
from sqlalchemy.types import TypeEngine

from eventsourcing_alchemy.schema.types import (
    Name,
    Number,
    OriginatorUuid,
    RecordedAt,
    State,
    SurrogateKey,
    Topic,
    database_now,
)

metadata = MetaData()
"""The package's tables, without a database schema."""

_OPTIONS: dict[str, Any] = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mariadb_engine": "InnoDB",
    "mariadb_charset": "utf8mb4",
}

_LONG_KEY: dict[str, Any] = {"mssql_clustered": False}
"""Of two names. SQL Server allows 1,700 bytes for it, and 900 where it is clustered."""

ADDED: dict[Any, Any] = {"is_added": True}
"""Marks a column that a table was created without, by an earlier revision."""

Message = (
    UnicodeText()
    .with_variant(mysql.LONGTEXT(), "mysql", "mariadb")
    .with_variant(Unicode(), "mssql")
)
"""Text of any length."""


def _record_columns(originator_id: TypeEngine[Any]) -> list[Column[Any]]:
    return [
        Column("originator_id", originator_id, nullable=False),
        Column("originator_version", Number, nullable=False),
        Column("topic", Topic, nullable=False),
        Column("state", State, nullable=False),
        Column(
            "recorded_at", RecordedAt, server_default=database_now(), nullable=False
        ),
    ]


def _events_table(name: str, originator_id: TypeEngine[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("application_id", Number, autoincrement=False, nullable=False),
        Column("notification_id", Number, autoincrement=False, nullable=False),
        *_record_columns(originator_id),
        PrimaryKeyConstraint("application_id", "notification_id", name=f"pk_{name}"),
        # Leads with the originator, so that only the primary key offers itself for
        # "the events of one application in order of their positions".
        UniqueConstraint(
            "originator_id",
            "originator_version",
            "application_id",
            name=f"uq_{name}_originator",
        ),
        **_OPTIONS,
    )


def _snapshots_table(name: str, originator_id: TypeEngine[Any]) -> Table:
    return Table(
        name,
        metadata,
        Column("application_id", Number, autoincrement=False, nullable=False),
        Column("purpose", Name, nullable=False),
        *_record_columns(originator_id),
        PrimaryKeyConstraint(
            "application_id",
            "purpose",
            "originator_id",
            "originator_version",
            name=f"pk_{name}",
            **_LONG_KEY,
        ),
        **_OPTIONS,
    )


applications = Table(
    "es_applications",
    metadata,
    Column("id", SurrogateKey, autoincrement=True, nullable=False),
    Column("name", Name, nullable=False),
    Column("last_notification_id", Number, server_default=text("0"), nullable=False),
    PrimaryKeyConstraint("id", name="pk_es_applications"),
    UniqueConstraint("name", name="uq_es_applications_name"),
    **_OPTIONS,
)
"""Applications, each with the position of its last event."""

events = _events_table("es_events", OriginatorUuid)
"""Stored events of aggregates with UUIDs."""

text_events = _events_table("es_text_events", Name)
"""Stored events of aggregates with text IDs."""

snapshots = _snapshots_table("es_snapshots", OriginatorUuid)
"""Records without positions, of aggregates with UUIDs: snapshots, for the most part."""

text_snapshots = _snapshots_table("es_text_snapshots", Name)
"""Records without positions, of aggregates with text IDs."""

tracking = Table(
    "es_tracking",
    metadata,
    Column("projection_name", Name, nullable=False),
    Column("application_name", Name, nullable=False),
    Column("notification_id", Number, nullable=False),
    PrimaryKeyConstraint(
        "projection_name", "application_name", name="pk_es_tracking", **_LONG_KEY
    ),
    **_OPTIONS,
)
"""The position of each projection in each application that it follows."""

dead_letters = Table(
    "es_dead_letters",
    metadata,
    Column("projection_name", Name, nullable=False),
    Column("application_name", Name, nullable=False),
    Column("notification_id", Number, autoincrement=False, nullable=False),
    Column("topic", Topic, nullable=False),
    Column("error", Message, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("recorded_at", RecordedAt, server_default=database_now(), nullable=False),
    Column("traceback", Message, info=ADDED),
    Column("originator_id", Name, info=ADDED),
    Column("originator_version", Number, info=ADDED),
    PrimaryKeyConstraint(
        "projection_name",
        "application_name",
        "notification_id",
        name="pk_es_dead_letters",
        **_LONG_KEY,
    ),
    **_OPTIONS,
)
"""Events that a projection could not process, and has passed over."""

leases = Table(
    "es_leases",
    metadata,
    Column("projection_name", Name, nullable=False),
    Column("application_name", Name, nullable=False),
    Column("holder", Name, nullable=False),
    Column("token", Number, nullable=False),
    Column("expires_at", RecordedAt, nullable=False),
    PrimaryKeyConstraint(
        "projection_name", "application_name", name="pk_es_leases", **_LONG_KEY
    ),
    **_OPTIONS,
)
"""Which of several copies of a projection is the one that works, and until when."""

standbys = Table(
    "es_standbys",
    metadata,
    Column("projection_name", Name, nullable=False),
    Column("application_name", Name, nullable=False),
    Column("holder", Name, nullable=False),
    Column("expires_at", RecordedAt, nullable=False),
    PrimaryKeyConstraint(
        "projection_name",
        "application_name",
        "holder",
        name="pk_es_standbys",
        **_LONG_KEY,
    ),
    **_OPTIONS,
)
"""The copies of a projection that wait for the lease, and until when they count."""

rebuilds = Table(
    "es_rebuilds",
    metadata,
    Column("projection_name", Name, nullable=False),
    Column("application_name", Name, nullable=False),
    Column("phase", Name, nullable=False),
    Column("position", Number, nullable=False),
    Column("tables", Message, nullable=False),
    Column("started_at", RecordedAt, server_default=database_now(), nullable=False),
    PrimaryKeyConstraint(
        "projection_name", "application_name", name="pk_es_rebuilds", **_LONG_KEY
    ),
    **_OPTIONS,
)
"""Views that are being built anew, and which tables are to be replaced."""

dcb_events = Table(
    "es_dcb_events",
    metadata,
    Column("application_id", Number, autoincrement=False, nullable=False),
    Column("position", Number, autoincrement=False, nullable=False),
    Column("type", Name, nullable=False),
    Column("data", State, nullable=False),
    Column("tags", Message, nullable=False),
    Column("append_id", OriginatorUuid, nullable=False),
    Column("recorded_at", RecordedAt, server_default=database_now(), nullable=False),
    PrimaryKeyConstraint("application_id", "position", name="pk_es_dcb_events"),
    Index("ix_es_dcb_events_type", "application_id", "type", "position"),
    **_OPTIONS,
)
"""Events of applications with dynamic consistency boundaries; tags as a JSON list."""

dcb_tags = Table(
    "es_dcb_tags",
    metadata,
    Column("application_id", Number, autoincrement=False, nullable=False),
    Column("tag", Name, nullable=False),
    Column("position", Number, autoincrement=False, nullable=False),
    Column("type", Name, nullable=False),
    PrimaryKeyConstraint(
        "application_id",
        "tag",
        "position",
        "type",
        name="pk_es_dcb_tags",
        mssql_clustered=False,  # Clustered keys end at 900 bytes there.
    ),
    **_OPTIONS,
)
"""The positions and types of the events that have a tag: one index answers a query."""
