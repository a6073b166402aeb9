"""Views of all kinds: what they declare is what is there after a rebuild."""

from __future__ import annotations

import enum
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    CheckConstraint,
    Column,
    Computed,
    Enum,
    ForeignKey,
    ForeignKeyConstraint,
    Identity,
    Index,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    func,
    insert,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column, relationship

from backends import Backend, Capability
from eventsourcing_alchemy import (
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    rebuild,
    reset,
)
from rebuilding.in_use import connected, names

pytestmark = [
    pytest.mark.needs(Capability.SHARED),
    pytest.mark.filterwarnings("ignore:Skipped unsupported reflection"),
]


class AnyView(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData]

    def add(self, tracking: Tracking) -> None:
        raise NotImplementedError

    def content(self) -> list[tuple[Any, ...]]:
        """All rows of all tables."""
        with self.reading() as connection:
            return [
                (table.name, *row)
                for table in self.metadata.tables.values()
                for row in connection.execute(
                    select(table).order_by(*table.primary_key)
                )
            ]


class AnyProjection(Projection[AnyView]):
    name = "any"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.add(tracking)


class Colour(enum.Enum):
    RED = 1
    BLUE = 2


class Base(DeclarativeBase):
    metadata = MetaData()


class Node(Base):
    """Refers to itself, and to a table that refers to it."""

    __tablename__ = "Nodes"
    number: Mapped[int] = mapped_column(primary_key=True)
    colour: Mapped[Colour] = mapped_column(Enum(Colour, create_constraint=True))
    parent_id: Mapped[int | None] = mapped_column(ForeignKey(number, name="fk_parent"))
    parent: Mapped[Node | None] = relationship(remote_side=number)
    leaves: Mapped[list[Leaf]] = relationship(
        back_populates="node", foreign_keys="Leaf.node_id"
    )
    favourite_id: Mapped[int | None] = mapped_column(
        ForeignKey("leaves.id", use_alter=True, name="fk_favourite")
    )
    favourite: Mapped[Leaf | None] = relationship(
        foreign_keys=favourite_id, post_update=True
    )


class Leaf(Base):
    __tablename__ = "leaves"
    id: Mapped[int] = mapped_column(primary_key=True)
    node_id: Mapped[int] = mapped_column(ForeignKey(Node.number))
    node: Mapped[Node] = relationship(back_populates="leaves", foreign_keys=node_id)


class Tree(AnyView):
    metadata: ClassVar[MetaData] = Base.metadata

    def add(self, tracking: Tracking) -> None:
        with self.session(tracking) as session:
            last = session.scalar(select(Node).order_by(Node.number.desc()).limit(1))
            node = Node(colour=Colour.BLUE, parent=last)
            node.favourite = Leaf(node=node)
            session.add(node)


class Keyed(AnyView):
    """Composite keys, and what the database computes."""

    metadata: ClassVar[MetaData] = MetaData()
    ones = Table(
        "o" * 62 + "1",
        metadata,
        Column("a", Integer, primary_key=True, autoincrement=False),
        Column("b", Integer, primary_key=True, autoincrement=False),
        Column("twice", Integer, Computed("a * 2", persisted=True)),
        Column("text", String(30), server_default="x", comment="a column's"),
        CheckConstraint("a > 0", name="c" * 60),
        comment="a table's",
    )
    twos = Table(
        "o" * 62 + "2",
        metadata,
        Column("a", Integer, primary_key=True, autoincrement=False),
        Column("b", Integer),
        Column("text", String(30)),
        ForeignKeyConstraint(["a", "b"], [ones.c.a, ones.c.b], name="f" * 62),
        Index("i" * 60 + "1", "b", "text"),
    )

    def add(self, tracking: Tracking) -> None:
        row = {"a": tracking.notification_id, "b": 7}
        with self.processing(tracking) as connection:
            connection.execute(insert(self.ones).values(row))
            connection.execute(insert(self.twos).values(row))


class Indexed(AnyView):
    """Indexes of expressions, and of some rows."""

    metadata: ClassVar[MetaData] = MetaData()
    rows = Table(
        "indexed",
        metadata,
        Column("id", Integer, Identity(always=True), primary_key=True),
        Column("text", String(30)),
    )
    Index("ix_lower", func.lower(rows.c.text)).ddl_if("postgresql")
    Index("ix_longer", func.lower(rows.c.text)).ddl_if("sqlite")
    Index("ix_hash", rows.c.text, postgresql_using="hash").ddl_if("postgresql")
    Index(
        "ix_some",
        rows.c.text,
        unique=True,
        postgresql_where=rows.c.id > 0,
        sqlite_where=rows.c.id > 0,
    )

    def add(self, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            text = f"Text {tracking.notification_id}"
            connection.execute(insert(self.rows).values(text=text))


class Numbered(AnyView):
    """A sequence of its own."""

    metadata: ClassVar[MetaData] = MetaData()
    numbers = Sequence("numbers", metadata=metadata)
    rows = Table(
        "numbered",
        metadata,
        Column("id", Integer, numbers, primary_key=True),
        Column("position", Integer),
    )

    def add(self, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            row = {"position": tracking.notification_id}
            connection.execute(insert(self.rows).values(row))


class Common(AnyView):
    """A common table expression that is named as a table."""

    metadata: ClassVar[MetaData] = MetaData()
    rows = Table(
        "common",
        metadata,
        Column("id", Integer, primary_key=True, autoincrement=False),
        Column("common", Integer),
    )
    others = Table("others", metadata, Column("id", Integer, primary_key=True))

    def add(self, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            connection.execute(insert(self.others))
            number = func.count().label("number")
            common = select(number).select_from(self.others).cte("common")
            row = {
                "id": tracking.notification_id,
                "common": connection.scalar(select(common.c.number)),
            }
            connection.execute(insert(self.rows).values(row))


CLASSES = [Tree, Keyed, Indexed, Numbered, Common]


@pytest.fixture(params=CLASSES)
def view_class(request: pytest.FixtureRequest) -> type[AnyView]:
    found: type[AnyView] = request.param
    return found


def used(env: dict[str, str], view_class: type[AnyView], count: int) -> list[Any]:
    """What is in the view, when some more events have been processed."""
    runner: SQLAlchemyProjectionRunner[Application[UUID], AnyView]
    with SQLAlchemyProjectionRunner(
        application_class=Application[UUID],
        projection_class=AnyProjection,
        view_class=view_class,
        env=env,
    ) as runner:
        for _ in range(count):
            last = runner.app.save(Aggregate())[-1].notification.id
        runner.wait(last, timeout=10)
        return runner.view.content()


def classes(env: dict[str, str], view_class: type[AnyView]) -> dict[str, Any]:
    return {
        "application_class": Application[UUID],
        "projection_class": AnyProjection,
        "view_class": view_class,
        "env": env,
    }


def test_what_is_declared_is_there(
    env: dict[str, str], backend: Backend, view_class: type[AnyView]
) -> None:
    before = used(env, view_class, 3)
    with connected(backend) as connection:
        names_before = names(connection)
    for keeps in (False, True):
        rebuild(**classes(env, view_class), keep_old=keeps)
        with connected(backend) as connection:
            found = names(connection)
        kept = {name for name in found if name.endswith("__old")}
        assert {n: v for n, v in found.items() if n not in kept} == names_before
        assert bool(kept) is keeps
    after = used(env, view_class, 2)
    assert len(after) == len(before) // 3 * 5


def test_reset(env: dict[str, str], view_class: type[AnyView]) -> None:
    before = used(env, view_class, 3)
    reset(**classes(env, view_class))
    assert len(used(env, view_class, 1)) == len(before) // 3 * 4
