"""Mapped classes of many kinds, for views that use the ORM."""

from __future__ import annotations

from datetime import datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

from sqlalchemy import (
    CHAR,
    JSON,
    CheckConstraint,
    Column,
    Connection,
    FetchedValue,
    Float,
    ForeignKey,
    Integer,
    MetaData,
    Numeric,
    String,
    Table,
    TypeDecorator,
    UniqueConstraint,
)
from sqlalchemy.event import listens_for
from sqlalchemy.orm import (
    DeclarativeBase,
    Mapped,
    deferred,
    mapped_column,
    registry,
    relationship,
)

from eventsourcing_alchemy import SQLAlchemyMaterialisedView
from eventsourcing_alchemy.schema.tables import tracking


class Base(DeclarativeBase):
    """Of all of them."""


class Shouted(TypeDecorator[str]):
    """Writes another value than it is given."""

    impl = String(50)
    cache_ok = True

    def process_bind_param(self, value: Any, dialect: Any) -> Any:  # noqa: ARG002
        return value and value.upper()


def now() -> datetime:
    return datetime(2026, 1, 1, 12, 0, 0, 123456)


class Item(Base):
    __tablename__ = "items"

    key: Mapped[str] = mapped_column(String(50), primary_key=True)
    n: Mapped[int]
    note: Mapped[str | None] = mapped_column(String(50))


class ItemAgain(Base):
    """Another class for the same table."""

    __table__ = Item.__table__

    if TYPE_CHECKING:
        n: Mapped[int]


class Entry(Base):
    """Of a log: the database counts."""

    __tablename__ = "entries"

    id: Mapped[int] = mapped_column(primary_key=True)
    n: Mapped[int]


class Filled(Base):
    __tablename__ = "filled_in"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    constant: Mapped[int] = mapped_column(default=7)
    called: Mapped[int] = mapped_column(default=lambda: 8)
    of_server: Mapped[int] = mapped_column(server_default="9")
    updated: Mapped[int] = mapped_column(default=1, onupdate=2)


class Converted(Base):
    """Values that come back in another form than they were given."""

    __tablename__ = "converted"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    amount: Mapped[Decimal] = mapped_column(Numeric(10, 2))
    ratio: Mapped[float] = mapped_column(Float)
    at: Mapped[datetime] = mapped_column(default=now)
    shouted: Mapped[str] = mapped_column(Shouted)
    document: Mapped[Any] = mapped_column(JSON)


class Versioned(Base):
    __tablename__ = "versioned"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    version: Mapped[int] = mapped_column()
    __mapper_args__ = {"version_id_col": version}  # noqa: RUF012


class Parent(Base):
    __tablename__ = "orm_parents"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    children: Mapped[list[Child]] = relationship(
        back_populates="parent", cascade="all, delete-orphan", order_by="Child.id"
    )


class Child(Base):
    __tablename__ = "orm_children"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    parent_id: Mapped[int] = mapped_column(ForeignKey(Parent.id))
    n: Mapped[int]
    parent: Mapped[Parent] = relationship(back_populates="children")


class Owner(Base):
    __tablename__ = "owners"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]


class Owned(Base):
    """Refers to another table, of which the ORM knows nothing."""

    __tablename__ = "owned"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    owner_id: Mapped[int] = mapped_column(ForeignKey(Owner.id, ondelete="CASCADE"))
    n: Mapped[int]


class Checked(Base):
    __tablename__ = "checked_rows"
    __table_args__ = (CheckConstraint("n <> 3"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    email: Mapped[str | None] = mapped_column(String(50), unique=True)


class Linked(Base):
    """Refers to others of its table, of which the ORM knows nothing."""

    __tablename__ = "linked"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    next_id: Mapped[int | None] = mapped_column(ForeignKey("linked.id"))


class Coded(Base):
    """Refers to a value that may change, in its own table."""

    __tablename__ = "coded"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(String(50), unique=True)
    of: Mapped[str | None] = mapped_column(ForeignKey("coded.code", onupdate="CASCADE"))


class CodedPart(Base):
    """Refers to a value that may change, in another table."""

    __tablename__ = "coded_parts"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    of: Mapped[str | None] = mapped_column(
        ForeignKey("coded_wholes.code", onupdate="CASCADE")
    )


class CodedWhole(Base):
    __tablename__ = "coded_wholes"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    code: Mapped[str] = mapped_column(String(50), unique=True)


class Unique(Base):
    """SQLite deletes another row that has the value."""

    __tablename__ = "unique_rows"
    __table_args__ = (UniqueConstraint("n", sqlite_on_conflict="REPLACE"),)

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]


class Doubled(Base):
    """Has a column that the database generates, as SQLAlchemy is not told."""

    __tablename__ = "doubled"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    n: Mapped[int]
    twice: Mapped[int | None] = mapped_column(FetchedValue(), system=True)


@listens_for(Doubled.__table__, "after_create")
def _generate(_table: Table, connection: Connection, **_: Any) -> None:
    kind = "VIRTUAL" if connection.dialect.name == "sqlite" else "STORED"
    connection.exec_driver_sql(
        "ALTER TABLE doubled ADD COLUMN twice INTEGER "
        f"GENERATED ALWAYS AS (n * 2) {kind}"
    )


class Padded(Base):
    """Some databases return another value than was written."""

    __tablename__ = "padded"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    text: Mapped[str] = mapped_column(
        String(99).with_variant(CHAR(99), "postgresql", "mysql", "mariadb")
    )


class Partial(Base):
    """Has a column that is not mapped."""

    __table__ = Table(
        "partly_mapped",
        Base.metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("n", Integer, nullable=False),
        Column("hidden", Integer, default=lambda: 8, onupdate=lambda: 9),
    )
    __mapper_args__ = {"exclude_properties": ["hidden"]}  # noqa: RUF012

    if TYPE_CHECKING:
        n: Mapped[int]


class Animal(Base):
    __tablename__ = "animals"

    id: Mapped[int] = mapped_column(primary_key=True, autoincrement=False)
    kind: Mapped[str] = mapped_column(String(10))
    n: Mapped[int]
    text: Mapped[str | None] = deferred(mapped_column(String(50)))
    __mapper_args__ = {  # noqa: RUF012
        "polymorphic_on": "kind",
        "polymorphic_identity": "animal",
    }


class Dog(Animal):
    __mapper_args__ = {"polymorphic_identity": "dog"}  # noqa: RUF012


class Position:
    """A row of the table in which positions are recorded."""

    notification_id: int


registry().map_imperatively(Position, tracking)


class OrmView(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = Base.metadata
