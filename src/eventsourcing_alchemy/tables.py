"""The tables of the schema, declared once.

Alembic revisions create them; these are for statements, and for comparing a database
with what the package expects. An application or projection is a row, never a table.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import (
    Column,
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

from eventsourcing_alchemy.dialects.types import (
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
    PrimaryKeyConstraint("projection_name", "application_name", name="pk_es_tracking"),
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
    PrimaryKeyConstraint(
        "projection_name",
        "application_name",
        "notification_id",
        name="pk_es_dead_letters",
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
    PrimaryKeyConstraint("projection_name", "application_name", name="pk_es_leases"),
    **_OPTIONS,
)
"""Which of several copies of a projection is the one that works, and until when."""
