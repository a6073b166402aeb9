"""Sequences that the metadata declares, where they are replaced with the tables."""

from __future__ import annotations

from typing import Any, ClassVar
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
    Sequence,
    Table,
    insert,
    make_url,
    select,
    text,
)

from backends import Backend, Capability
from eventsourcing_alchemy import (
    RebuildProgress,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    rebuild,
)
from rebuilding.in_use import connected

pytestmark = pytest.mark.needs(Capability.SCHEMAS)

ROLE = "pg_signal_backend"
"""A role of each server, which owns nothing."""


class Numbered(SQLAlchemyMaterialisedView):
    """The numbers of its rows are those of a sequence in another schema."""

    metadata: ClassVar[MetaData] = MetaData()
    numbers = Sequence("numbers", metadata=metadata, schema="reports")
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

    def positions(self) -> list[int]:
        with self.reading() as connection:
            return sorted(connection.scalars(select(self.rows.c.position)))


class NumberedProjection(Projection[Numbered]):
    name = "numbered"

    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.add(tracking)


def arguments(env: dict[str, str]) -> dict[str, Any]:
    return {
        "application_class": Application[UUID],
        "projection_class": NumberedProjection,
        "view_class": Numbered,
        "env": env,
    }


def used(env: dict[str, str]) -> list[int]:
    """What is in the view, when another event has been processed."""
    runner: SQLAlchemyProjectionRunner[Application[UUID], Numbered]
    with SQLAlchemyProjectionRunner(**arguments(env)) as runner:
        runner.wait(runner.app.save(Aggregate())[-1].notification.id, timeout=10)
        return runner.view.positions()


def execute(backend: Backend, *statements: str) -> None:
    with connected(backend) as connection:
        for statement in statements:
            connection.execute(text(statement))
        connection.commit()


@pytest.fixture(autouse=True)
def _schema(backend: Backend) -> None:
    execute(backend, "CREATE SCHEMA reports")


def interrupt(_: RebuildProgress) -> None:
    raise ZeroDivisionError


def test_in_another_schema(env: dict[str, str]) -> None:
    assert used(env) == [1]
    with pytest.raises(ZeroDivisionError):
        rebuild(**arguments(env), progress=interrupt)
    rebuild(**arguments(env), restart=True)
    rebuild(**arguments(env), keep_old=True)
    assert used(env) == [1, 2]


def test_other_tables_that_use_one(env: dict[str, str], backend: Backend) -> None:
    used(env)
    numbers = "nextval('reports.numbers')"
    execute(backend, f"CREATE TABLE notes (id BIGINT DEFAULT {numbers})")
    with pytest.raises(ProgrammingError, match=r"old tables: default .* notes"):
        rebuild(**arguments(env))


def test_owner(env: dict[str, str], backend: Backend) -> None:
    """Who owns the tables alone is refused before anything is built."""
    used(env)
    execute(
        backend,
        f"GRANT ALL ON SCHEMA public, reports TO {ROLE}",
        f"GRANT ALL ON ALL TABLES IN SCHEMA public TO {ROLE}",
        f"ALTER TABLE numbered OWNER TO {ROLE}",
    )
    url = make_url(env["SQLALCHEMY_URL"])
    as_role = url.update_query_dict({"options": f"-c role={ROLE}"})
    others = env | {"SQLALCHEMY_URL": as_role.render_as_string(hide_password=False)}
    missing = r"lacks the ownership of sequence reports\.numbers:"
    with pytest.raises(ProgrammingError, match=missing):
        rebuild(**arguments(others))
    execute(backend, f"ALTER SEQUENCE reports.numbers OWNER TO {ROLE}")
    rebuild(**arguments(others))
    assert used(others) == [1, 2]
