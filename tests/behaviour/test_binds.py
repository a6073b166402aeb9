"""Sessions and connections of the caller's: of this database, or refused."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.orm import DeclarativeBase, Session, scoped_session, sessionmaker

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder, SQLAlchemyFactory
from eventsourcing_alchemy.dialects.lookup import dialect_for
from eventsourcing_alchemy.dialects.urls import normalise_url
from factories import construct_factory

pytestmark = pytest.mark.needs(Capability.SHARED)


class Ours(DeclarativeBase):
    """Base of classes that are mapped to this database."""


class Theirs(DeclarativeBase):
    """Base of classes that are mapped to another one."""


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    return factory.application_recorder()


@pytest.fixture
def other(backend: Backend, env: dict[str, str], tmp_path: Path) -> Iterator[Engine]:
    """Of another database of the same kind, which has the tables, too."""
    another = backend.fresh(tmp_path)
    factory = construct_factory("Other", {**env, "SQLALCHEMY_URL": another.url})
    factory.application_recorder()
    factory.close()
    engine = create_engine(normalise_url(another.url))
    yield engine
    engine.dispose()
    another.discard(reusable=False)


def test_session_with_binds(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine, other: Engine
) -> None:
    expected: list[int] = []
    for make in (
        lambda: Session(binds={Ours: engine}),
        lambda: Session(binds={Ours: engine, Theirs: other}),
        lambda: Session(other, binds={Ours: engine}),
        lambda: Session(engine, binds={Theirs: other}),
        lambda: scoped_session(sessionmaker(binds={Ours: engine})),
    ):
        for is_committed in (False, True):
            session = make()
            with recorder.transaction(session) as connection:
                assert connection.engine is engine
                recorder.insert_events(new_events())
            if is_committed:
                session.commit()
                expected.append(len(expected) + 1)
            session.close()
            assert ids(recorder) == expected


def test_what_is_of_another_database_is_refused(
    recorder: SQLAlchemyApplicationRecorder, other: Engine
) -> None:
    refusal = f"database '{other.url.database}', but this recorder uses another one"
    with (
        Session(other) as session,
        other.connect() as connection,
        Session(connection) as session_of_connection,
    ):
        for bind in session, connection, session_of_connection:
            with (
                pytest.raises(ProgrammingError, match=refusal),
                recorder.transaction(bind),
            ):
                recorder.insert_events(new_events())
            with pytest.raises(ProgrammingError, match=refusal):
                recorder.insert_events(new_events(), session=bind)
    assert ids(recorder) == []


def test_session_that_does_not_tell(
    recorder: SQLAlchemyApplicationRecorder, engine: Engine, other: Engine
) -> None:
    copy = create_engine(engine.url)
    cases: list[tuple[dict[Any, Any], int]] = [
        ({Theirs: other}, 0),
        ({Ours: engine, Theirs: copy}, 2),
    ]
    for binds, count in cases:
        with (
            Session(binds=binds) as session,
            pytest.raises(ProgrammingError, match=f"{count} of which may use"),
            recorder.transaction(session),
        ):
            pytest.fail("took part in it")
    copy.dispose()


@pytest.mark.parametrize(
    ("ours", "theirs", "is_elsewhere"),
    [
        ("postgresql+psycopg://a@host/x", "postgresql+psycopg2://b@host:6432/x", False),
        ("postgresql+psycopg://a@host/x", "postgresql+psycopg://a@host/y", True),
        ("postgresql+psycopg://a@host/x", "postgresql+psycopg://a@pooler/y", False),
        (
            "postgresql+psycopg:///x?host=/run",
            "postgresql+psycopg:///y?host=/run",
            True,
        ),
        ("mysql+pymysql://a@host/x", "mariadb+pymysql://a@host/y", True),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/../tmp/x.db", False),
        ("sqlite:////tmp/x.db", "sqlite:////tmp/y.db", True),
        ("sqlite:////tmp/x.db", "sqlite:///file:/tmp/x.db?uri=true", False),
        ("sqlite://", "sqlite:////tmp/y.db", True),
        ("sqlite:////tmp/x.db", "sqlite://", False),
    ],
)
def test_what_urls_tell(ours: str, theirs: str, *, is_elsewhere: bool) -> None:
    url = make_url(ours)
    dialect = dialect_for(url.get_backend_name())
    assert dialect.is_elsewhere(url, make_url(theirs), None) == is_elsewhere


def test_a_schema_of_mysql_is_a_database() -> None:
    dialect = dialect_for("mysql")
    one, other = (make_url(f"mysql+pymysql://a@host/{name}") for name in "xy")
    assert not dialect.is_elsewhere(one, other, "events")
