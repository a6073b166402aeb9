"""Tables in a schema of their own, which projections of several schemas may have."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import ProgrammingError, Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    delete,
    insert,
    make_url,
    select,
    text,
)
from sqlalchemy.schema import CreateSchema, DropSchema

from backends import Backend, Capability
from eventsourcing_alchemy import (
    RebuildPhase,
    RebuildProgress,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    rebuild,
    reset,
)
from eventsourcing_alchemy.schema import tables
from rebuilding.in_use import connected

pytestmark = pytest.mark.needs(Capability.SERVER)

ROLE = "pg_signal_backend"
"""A role of each server, which owns nothing."""


class Base(SQLAlchemyMaterialisedView):
    """Has no tables; each test declares them in another schema."""

    def add(self, tracking: Tracking) -> None:
        assert self.metadata is not None
        (table,) = self.metadata.sorted_tables
        with self.processing(tracking) as connection:
            row = {
                "tenant": self.datastore.schema or "",
                "position": tracking.notification_id,
            }
            connection.execute(insert(table).values(row))


class Seen(Projection[Base]):
    name = "seen"

    def process_event(self, domain_event: object, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.add(tracking)


class AlsoSeen(Seen):
    name = "also seen"


@dataclass
class Tenants:
    """Two schemas with our tables, and one with a table of a view."""

    backend: Backend
    env: dict[str, str]
    one: str
    two: str
    reports: str
    views: list[type[Base]] = field(default_factory=list)

    def view(self, schema: str | None) -> type[Base]:
        """A view whose table is in the schema, None for that of the tenant."""

        class View(Base):
            metadata = MetaData(schema=schema)

        # Else it would be taken for another import of the same one.
        View.__qualname__ = f"View{len(self.views)}"
        Table(
            "seen",
            View.metadata,
            Column("tenant", String(63), primary_key=True),
            Column("position", Integer, primary_key=True, autoincrement=False),
        )
        self.views.append(View)
        return View

    def arguments(
        self,
        schema: str,
        view_class: type[Base],
        projection_class: type[Seen] = Seen,
    ) -> dict[str, Any]:
        return {
            "application_class": Application[UUID],
            "projection_class": projection_class,
            "view_class": view_class,
            "env": {**self.env, "SQLALCHEMY_SCHEMA": schema},
        }

    def use(self, *arguments: Any) -> None:
        """Have a runner process an event."""
        runner: SQLAlchemyProjectionRunner[Application[UUID], Base]
        with SQLAlchemyProjectionRunner(**self.arguments(*arguments)) as runner:
            last = runner.app.save(Aggregate())[-1].notification.id
            runner.wait(last, timeout=10)

    def rows(self, view_class: type[Base]) -> list[tuple[str, int]]:
        assert view_class.metadata is not None
        (table,) = view_class.metadata.sorted_tables
        with connected(self.backend) as connection:
            rows = connection.execute(select(table).order_by(*table.c))
            return [(row.tenant, row.position) for row in rows]


@pytest.fixture
def tenants(
    backend: Backend, env: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> Iterator[Tenants]:
    database = make_url(backend.url).database
    # On MariaDB, the databases of other tests are schemas, too.
    for projection in (Seen, AlsoSeen):
        monkeypatch.setattr(projection, "name", f"{projection.name} {database}")
    names = [f"{database}_{name}" for name in ("one", "two", "reports")]
    with connected(backend) as connection:
        for name in names:
            connection.execute(CreateSchema(name))
        connection.commit()
    one, two, reports = names
    tenants = Tenants(backend, env, one, two, reports)
    try:
        yield tenants
    finally:
        for view in tenants.views:
            view.metadata = MetaData()  # The class stays, in the other tests, too.
        if Capability.SCHEMAS not in backend.capabilities:
            with connected(backend) as connection:
                for name in names:
                    connection.execute(DropSchema(name))


def test_same_projection(tenants: Tenants) -> None:
    view = tenants.view(tenants.reports)
    for schema in (tenants.one, tenants.two):
        tenants.use(schema, view)
    before = tenants.rows(view)
    assert len(before) == 2
    found = (
        f"'seen .*' has processed events in the schema '{tenants.two}'.* tables seen:"
    )
    for refused in (rebuild, reset):
        with pytest.raises(ProgrammingError, match=found):
            refused(**tenants.arguments(tenants.one, view))
    assert tenants.rows(view) == before
    forget(tenants, tenants.two)
    for done in (rebuild, reset):
        done(**tenants.arguments(tenants.one, view))


def test_declared_schema_is_the_own_one(tenants: Tenants) -> None:
    view = tenants.view(tenants.one)
    for schema in (tenants.one, tenants.two):
        tenants.use(schema, view)
    for schema, other in ((tenants.one, tenants.two), (tenants.two, tenants.one)):
        for refused in (rebuild, reset):
            with pytest.raises(ProgrammingError, match=f"in the schema '{other}'"):
                refused(**tenants.arguments(schema, view))


@pytest.mark.parametrize("is_declared", [True, False])
def test_other_projection(tenants: Tenants, is_declared: bool) -> None:
    """Its view declares the schema, or is in it anyway."""
    view = tenants.view(tenants.reports)
    other_view = tenants.view(tenants.reports if is_declared else None)
    schema = tenants.two if is_declared else tenants.reports
    tenants.use(tenants.one, view)
    tenants.use(schema, other_view, AlsoSeen)
    before = tenants.rows(view)
    found = (
        f"'also seen .*' has .* in the schema '{schema}', .*View1 has the tables seen"
    )
    for refused in (rebuild, reset):
        with pytest.raises(ProgrammingError, match=found):
            refused(**tenants.arguments(tenants.one, view))
    assert tenants.rows(view) == before


def test_tables_of_each_schema(tenants: Tenants) -> None:
    view = tenants.view(None)
    for schema in (tenants.one, tenants.two):
        tenants.use(schema, view)
    for done in (rebuild, reset):
        done(**tenants.arguments(tenants.one, view))


def test_other_tables(tenants: Tenants) -> None:
    view = tenants.view(tenants.reports)
    tenants.use(tenants.one, view)
    tenants.use(tenants.two, tenants.view(None), AlsoSeen)
    for done in (rebuild, reset):
        done(**tenants.arguments(tenants.one, view))


def test_position_that_has_come_since_it_began(tenants: Tenants) -> None:
    view = tenants.view(tenants.reports)
    tenants.use(tenants.one, view)

    def come(progress: RebuildProgress) -> None:
        if progress.phase is RebuildPhase.SWITCHING:
            tenants.use(tenants.two, view)

    with pytest.raises(ProgrammingError, match=f"in the schema '{tenants.two}'"):
        rebuild(**tenants.arguments(tenants.one, view), progress=come)
    assert len(tenants.rows(view)) == 2


@pytest.mark.needs(Capability.SCHEMAS)
@pytest.mark.parametrize("may_look", [True, False])
def test_schema_that_the_role_may_not_read(tenants: Tenants, may_look: bool) -> None:
    view = tenants.view(tenants.reports)
    for schema in (tenants.one, tenants.two):
        tenants.use(schema, view)
    ours = f"{tenants.one}, {tenants.reports}"
    statements = [
        f"GRANT ALL ON SCHEMA {ours} TO {ROLE}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA {ours} TO {ROLE}",
        f"ALTER TABLE {tenants.reports}.seen OWNER TO {ROLE}",
    ]
    if may_look:
        statements += [
            f"GRANT USAGE ON SCHEMA {tenants.two} TO {ROLE}",
            f"GRANT INSERT ON ALL TABLES IN SCHEMA {tenants.two} TO {ROLE}",
        ]
    with connected(tenants.backend) as connection:
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()
    url = make_url(tenants.env["SQLALCHEMY_URL"])
    as_role = url.update_query_dict({"options": f"-c role={ROLE}"})
    tenants.env["SQLALCHEMY_URL"] = as_role.render_as_string(hide_password=False)
    for done in (rebuild, reset):
        done(**tenants.arguments(tenants.one, view))


def forget(tenants: Tenants, schema: str) -> None:
    """Delete the positions in a schema."""
    with connected(tenants.backend) as connection:
        there = {"schema_translate_map": {None: schema}}
        connection.execute(delete(tables.tracking), execution_options=there)
        connection.commit()
