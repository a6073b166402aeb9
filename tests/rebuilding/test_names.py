"""Names that are long or generated, schemas, owners and privileges."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ProgrammingError, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    CheckConstraint,
    Column,
    ForeignKey,
    Integer,
    MetaData,
    Sequence,
    String,
    Table,
    create_engine,
    insert,
    select,
    text,
)

from backends import Backend, Capability
from eventsourcing_alchemy import (
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    rebuild,
)
from eventsourcing_alchemy.dialects.urls import normalise_url
from rebuilding.in_use import connected, names

LONG = "a_table_" + 12 * "long_"
"""Of 68 bytes: names that PostgreSQL makes of its beginning are cut."""


class Named(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    parents = Table(
        LONG[:60],
        metadata,
        Column("id", Integer, primary_key=True),
        Column("position", Integer, CheckConstraint("position > 0"), unique=True),
        Column("Quoted name", String(20), index=True),
    )
    children = Table(
        'a "quoted" 100%s table',
        metadata,
        Column("number", Integer, primary_key=True),
        Column(LONG[:50], ForeignKey(parents.c.id), nullable=False),
    )

    def add(self, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            row = {"position": tracking.notification_id}
            made = connection.execute(insert(self.parents).values(row))
            parent = made.inserted_primary_key[0]  # type: ignore[index]
            connection.execute(insert(self.children).values({LONG[:50]: parent}))


class NamedProjection(Projection[Named]):
    name = "named"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.add(tracking)


def used(env: dict[str, str], view_class: type[Named], count: int) -> list[Any]:
    """What is in the view, when some more events have been processed."""
    runner: SQLAlchemyProjectionRunner[Application[UUID], Named]
    with SQLAlchemyProjectionRunner(
        application_class=Application[UUID],
        projection_class=NamedProjection,
        view_class=view_class,
        env=env,
    ) as runner:
        for _ in range(count):
            last = runner.app.save(Aggregate())[-1].notification.id
        runner.wait(last, timeout=10)
        with runner.view.reading() as connection:
            query = select(view_class.parents.c.position)
            return list(connection.scalars(query.order_by("position")))


def rebuild_named(
    env: dict[str, str], view_class: type[Named], *, keep_old: bool = False
) -> None:
    rebuild(
        application_class=Application[UUID],
        projection_class=NamedProjection,
        view_class=view_class,
        env=env,
        keep_old=keep_old,
    )


@pytest.mark.needs(Capability.SHARED)
def test_names_that_the_database_has_given(
    env: dict[str, str], backend: Backend
) -> None:
    assert used(env, Named, 3) == [1, 2, 3]
    with connected(backend) as connection:
        before = names(connection)
    for _ in range(2):
        rebuild_named(env, Named)
        with connected(backend) as connection:
            assert names(connection) == before
    assert used(env, Named, 1) == [1, 2, 3, 4]


@pytest.mark.needs(Capability.SHARED)
def test_names_where_the_old_tables_stay(env: dict[str, str], backend: Backend) -> None:
    """They get other names; those of the view are as before."""
    used(env, Named, 2)
    with connected(backend) as connection:
        before = names(connection)
    rebuild_named(env, Named, keep_old=True)
    with connected(backend) as connection:
        after = names(connection)
    assert {table: after[table] for table in before} == before
    assert used(env, Named, 1) == [1, 2, 3]


class InSchema(Named):
    metadata: ClassVar[MetaData] = MetaData(schema="reports")
    parents = Named.parents.to_metadata(metadata, schema="reports")
    children = Named.children.to_metadata(metadata, schema="reports")


class Elsewhere(Named):
    metadata: ClassVar[MetaData] = MetaData(schema="elsewhere")
    parents = Named.parents.to_metadata(metadata, schema="elsewhere")
    children = Named.children.to_metadata(metadata, schema="elsewhere")


@pytest.fixture
def schemas(backend: Backend) -> None:
    with connected(backend) as connection:
        connection.execute(text("CREATE SCHEMA reports"))
        connection.execute(text("CREATE SCHEMA billing"))
        connection.commit()


@pytest.mark.needs(Capability.SCHEMAS)
@pytest.mark.parametrize("view_class", [Named, InSchema])
def test_schemas(
    env: dict[str, str],
    backend: Backend,
    schemas: None,  # noqa: ARG001
    view_class: type[Named],
) -> None:
    env["SQLALCHEMY_SCHEMA"] = "billing"
    assert used(env, view_class, 2) == [1, 2]
    schema = view_class.parents.schema or "billing"
    with connected(backend) as connection:
        before = names(connection, schema)
    rebuild_named(env, view_class)
    with connected(backend) as connection:
        assert names(connection, schema) == before
    assert used(env, view_class, 1) == [1, 2, 3]


@pytest.mark.needs(Capability.SCHEMAS)
def test_schemas_that_an_engine_translates(
    env: dict[str, str],
    backend: Backend,
    schemas: None,  # noqa: ARG001
    topic_of: Callable[[object], str],
) -> None:
    """The view declares another one than it is in."""
    engine = create_engine(
        normalise_url(backend.url),
        execution_options={
            "schema_translate_map": {None: "billing", "elsewhere": "reports"}
        },
    )
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    assert used(env, Elsewhere, 2) == [1, 2]
    with connected(backend) as connection:
        before = names(connection, "reports")
    rebuild_named(env, Elsewhere)
    with connected(backend) as connection:
        assert names(connection, "reports") == before
    assert used(env, Elsewhere, 1) == [1, 2, 3]
    engine.dispose()


@pytest.mark.needs(Capability.SCHEMAS)
def test_privileges_stay(env: dict[str, str], backend: Backend) -> None:
    query = text(
        "SELECT relacl::text, reloptions::text FROM pg_class "
        "WHERE oid = to_regclass(:n)"
    )
    table = {"n": LONG[:60]}
    used(env, Named, 2)
    with connected(backend) as connection:
        connection.execute(text(f"GRANT SELECT, INSERT ON {LONG[:60]} TO PUBLIC"))
        connection.execute(text(f"GRANT UPDATE (position) ON {LONG[:60]} TO PUBLIC"))
        connection.execute(text(f"ALTER TABLE {LONG[:60]} SET (fillfactor = 70)"))
        connection.commit()
        before = connection.execute(query, table).all()
    rebuild_named(env, Named)
    with connected(backend) as connection:
        assert connection.execute(query, table).all() == before
        assert "fillfactor=70" in str(before)


class Numbered(Named):
    metadata: ClassVar[MetaData] = MetaData()
    numbers = Sequence("numbers", metadata=metadata)
    parents = Table(
        "parents",
        metadata,
        Column("id", Integer, numbers, primary_key=True),
        Column("position", Integer),
    )
    children = Table(
        "children",
        metadata,
        Column("number", Integer, primary_key=True),
        Column(LONG[:50], ForeignKey(parents.c.id), nullable=False),
    )


@pytest.mark.needs(Capability.SCHEMAS)
def test_nobody_gets_other_rights(env: dict[str, str], backend: Backend) -> None:
    """Not by default either; policies that are switched on let nobody in."""
    query = text(
        "SELECT relname, relacl::text, relrowsecurity, relforcerowsecurity, "
        "relreplident::text FROM pg_class WHERE relkind IN ('r', 'S') AND "
        "relname ~ '^(parents|children|numbers)' ORDER BY relname"
    )
    with connected(backend) as connection:
        for kind, right in ("TABLES", "INSERT"), ("SEQUENCES", "USAGE"):
            connection.execute(
                text(f"ALTER DEFAULT PRIVILEGES GRANT {right} ON {kind} TO PUBLIC")
            )
        connection.commit()
    assert used(env, Numbered, 2) == [1, 2]
    with connected(backend) as connection:
        for statement in (
            "REVOKE INSERT ON parents FROM PUBLIC",
            "REVOKE USAGE ON children_number_seq FROM PUBLIC",
            "GRANT SELECT ON numbers TO PUBLIC",
            "REVOKE USAGE ON numbers FROM PUBLIC",
            "ALTER TABLE parents ENABLE ROW LEVEL SECURITY",
            "ALTER TABLE children FORCE ROW LEVEL SECURITY",
            "ALTER TABLE parents REPLICA IDENTITY FULL",
            "ALTER TABLE children REPLICA IDENTITY NOTHING",
        ):
            connection.execute(text(statement))
        connection.commit()
        before = connection.execute(query).all()
    rebuild_named(env, Numbered)
    with connected(backend) as connection:
        assert connection.execute(query).all() == before
    assert used(env, Numbered, 1) == [1, 2, 3]


@pytest.mark.needs(Capability.SCHEMAS)
def test_publications(env: dict[str, str], backend: Backend) -> None:
    """Also those that the table is in because all are."""
    used(env, Numbered, 1)
    kinds = "TABLE children", "ALL TABLES", "TABLES IN SCHEMA public"
    for number, published in enumerate(kinds):
        name = f"published_{number}"
        with connected(backend) as connection:
            connection.execute(text(f"CREATE PUBLICATION {name} FOR {published}"))
            connection.commit()
        with pytest.raises(ProgrammingError, match=f"old tables: publication {name}"):
            rebuild_named(env, Numbered)
        with connected(backend) as connection:
            connection.execute(text(f"DROP PUBLICATION {name}"))
            connection.commit()
