"""The tables that are written to in all the ways that are compared."""

from __future__ import annotations

import enum
from contextvars import ContextVar
from itertools import count
from typing import Any

from sqlalchemy import (
    JSON,
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    DateTime,
    Dialect,
    Enum,
    ForeignKey,
    Integer,
    LargeBinary,
    MetaData,
    PickleType,
    String,
    Table,
    TypeDecorator,
    event,
    select,
)

from eventsourcing_alchemy.schema.tables import tracking

PROJECTION = "differential"

LOG = "log"
"""Another application, to which events are appended."""

metadata = MetaData()


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


tenant: ContextVar[str] = ContextVar("tenant", default="nobody")
"""Whose key encrypts what is written."""

numbers: ContextVar[count[int]] = ContextVar("numbers")
"""Of what is encrypted, in its order, for each event anew."""


class Encrypted(TypeDecorator[str]):
    """Depends on the context, and on what was encrypted before."""

    impl = String(100)
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str:  # noqa: ARG002
        return f"{next(numbers.get())}:{tenant.get()}:{value}"


def _key() -> Column[str]:
    return Column("key", String(20), primary_key=True)


def _counts(name: str, of: MetaData = metadata, **options: Any) -> Table:
    return Table(name, of, _key(), Column("n", Integer, nullable=False), **options)


counts = _counts("counts")
totals = _counts("totals")
others = _counts("counts", MetaData())
"""The table of counts once more, as another part of a program declares it."""

elsewhere = _counts("elsewhere", MetaData(), schema="side")
"""Not on all databases."""

pairs = Table(
    "pairs",
    metadata,
    Column("left", Integer, primary_key=True, autoincrement=False),
    Column("right", String(20), primary_key=True),
    Column("n", Integer, nullable=False),
)
values = Table(
    "values",
    metadata,
    _key(),
    Column("secret", Encrypted),
    Column("document", JSON),
    Column("pickled", PickleType),
    Column("colour", Enum(Colour)),
    Column("at", DateTime),
    Column("bytes", LargeBinary),
)


def _longer(context: Any) -> str:
    return f"{context.get_current_parameters()['key']} filled"


filled = Table(
    "filled",
    metadata,
    _key(),
    Column("n", Integer, nullable=False),
    Column("constant", Integer, default=7),
    Column("updated", Integer, default=1, onupdate=5),
    Column("called", String(20), default=_longer),
    Column("of_server", Integer, server_default="3"),
)
parents = _counts("parents")
children = Table(
    "children",
    metadata,
    _key(),
    Column(
        "parent",
        String(20),
        ForeignKey(parents.c.key, onupdate="CASCADE", ondelete="CASCADE"),
    ),
    Column("n", Integer, nullable=False),
)
checked = Table(
    "checked",
    metadata,
    _key(),
    Column("n", Integer, CheckConstraint("n <> 3"), nullable=False),
)
observing = Table(
    "observing",
    metadata,
    _key(),
    Column("n", Integer, nullable=False),
    Column("position", BigInteger),
    Column("total", BigInteger),
)
"""Has a trigger, which sees the position and what is in other tables."""

position = select(tracking.c.notification_id).where(
    tracking.c.projection_name == PROJECTION, tracking.c.application_name == "Shop"
)
"""Of the view, as the table has it."""

_POSITION = f"""(
    SELECT notification_id FROM es_tracking
    WHERE projection_name = '{PROJECTION}' AND application_name = 'Shop'
)"""  # noqa: S608
_TOTAL = "(SELECT sum(n) FROM counts)"
_MYSQL = [
    f"""
    CREATE TRIGGER observe_{action} BEFORE {action} ON observing
    FOR EACH ROW SET NEW.position = {_POSITION}, NEW.total = {_TOTAL}
    """
    for action in ("INSERT", "UPDATE")
]
_TRIGGERS = {
    "postgresql": [
        f"""
        CREATE FUNCTION observe() RETURNS trigger LANGUAGE plpgsql AS $$
        BEGIN
            NEW.position := {_POSITION};
            NEW.total := {_TOTAL};
            RETURN NEW;
        END $$
        """,
        """
        CREATE TRIGGER observe BEFORE INSERT OR UPDATE ON observing
        FOR EACH ROW EXECUTE FUNCTION observe()
        """,
    ],
    "mysql": _MYSQL,
    "mariadb": _MYSQL,
    "sqlite": [
        f"""
        CREATE TRIGGER observe_{name} AFTER {action} ON observing BEGIN
            UPDATE observing SET position = {_POSITION}, total = {_TOTAL}
            WHERE "key" = NEW."key";
        END
        """  # noqa: S608
        for name, action in (("insert", "INSERT"), ("update", "UPDATE OF n"))
    ],
}


_TRIGGERS["plain"] = _TRIGGERS["postgresql"]


@event.listens_for(observing, "after_create")
def _create_triggers(_table: Table, connection: Connection, **_: Any) -> None:
    for statement in _TRIGGERS[connection.dialect.name]:
        connection.exec_driver_sql(statement)
