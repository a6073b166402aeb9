"""Recorders of the user's own: their constructors, tables, sessions."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import ProgrammingError, Tracking
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    String,
    Table,
    func,
    insert,
    inspect,
    select,
)
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from backends import Capability
from behaviour.workers import DeliberateError, ids, new_events
from eventsourcing_alchemy import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyDatastore,
    SQLAlchemyFactory,
    SQLAlchemyMaterialisedView,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from factories import OpenFactory

pytestmark = pytest.mark.empty


class Base(DeclarativeBase):
    """The user's own mapped classes."""


class Letter(Base):
    __tablename__ = "letters"

    id: Mapped[int] = mapped_column(primary_key=True)
    text: Mapped[str] = mapped_column(String(50))


class WithTutorialConstructor(SQLAlchemyMaterialisedView):
    """As in the library's tutorial."""

    def __init__(self, datastore: SQLAlchemyDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)
        self.is_constructed = True


class OwnApplicationRecorder(SQLAlchemyApplicationRecorder):
    metadata = Base.metadata

    def __init__(self, datastore: SQLAlchemyDatastore, **kwargs: Any) -> None:
        super().__init__(datastore, **kwargs)


class OwnProcessRecorder(SQLAlchemyProcessRecorder):
    metadata = Base.metadata


class OwnTrackingRecorder(SQLAlchemyTrackingRecorder):
    metadata = Base.metadata


class OwnAggregateRecorder(SQLAlchemyAggregateRecorder):
    metadata = Base.metadata


class OwnFactory(SQLAlchemyFactory):
    aggregate_recorder_class = OwnAggregateRecorder
    application_recorder_class = OwnApplicationRecorder
    tracking_recorder_class = OwnTrackingRecorder
    process_recorder_class = OwnProcessRecorder


KINDS = [
    "aggregate_recorder",
    "application_recorder",
    "tracking_recorder",
    "process_recorder",
]


@pytest.fixture(params=KINDS)
def recorder(
    request: pytest.FixtureRequest, factory: SQLAlchemyFactory
) -> SQLAlchemyRecorder:
    """Of each kind, with tables of its own."""
    factory.__class__ = OwnFactory
    recorder: SQLAlchemyRecorder = getattr(factory, request.param)()
    return recorder


def letters(recorder: SQLAlchemyRecorder) -> int:
    with recorder.reading() as connection:
        return connection.scalars(select(func.count()).select_from(Letter)).one()


def test_constructor_of_the_tutorial(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(WithTutorialConstructor)
    assert view.is_constructed
    assert view.name == "Application"


def test_tables_of_every_recorder_are_made(recorder: SQLAlchemyRecorder) -> None:
    with recorder.transaction() as connection:
        connection.execute(insert(Letter).values(id=1, text="Welcome"))
    assert letters(recorder) == 1


@pytest.mark.needs(Capability.SHARED)
@pytest.mark.parametrize("kind", KINDS)
def test_tables_of_every_recorder_are_missed(
    open_factory: OpenFactory, kind: str
) -> None:
    open_factory().application_recorder()
    factory = open_factory(CREATE_TABLE="no")
    factory.__class__ = OwnFactory
    with pytest.raises(ProgrammingError, match="lacks letters,"):
        getattr(factory, kind)()


@pytest.mark.needs(Capability.SCHEMAS)
def test_tables_of_every_recorder_are_in_the_schema(open_factory: OpenFactory) -> None:
    factory = open_factory(SQLALCHEMY_SCHEMA="own")
    factory.__class__ = OwnFactory
    recorder = factory.process_recorder()
    with recorder.session() as session:
        session.add(Letter(id=1, text="Welcome"))
    assert letters(recorder) == 1
    with recorder.datastore.reading() as connection:
        assert inspect(connection).has_table("letters", "own")
        assert not inspect(connection).has_table("letters")


@pytest.mark.needs(Capability.SCHEMAS)
def test_other_tables_are_where_statements_say(open_factory: OpenFactory) -> None:
    recorder = open_factory(SQLALCHEMY_SCHEMA="own").application_recorder()
    with recorder.transaction() as connection:
        Base.metadata.create_all(connection)
        assert inspect(connection).has_table("letters")
    with recorder.session() as session:
        session.add(Letter(id=1, text="Welcome"))
    assert letters(recorder) == 1


def test_session_of_every_recorder(recorder: SQLAlchemyRecorder) -> None:
    with recorder.session() as session:
        session.add(Letter(id=1, text="Welcome"))
    with suppress(DeliberateError), recorder.session() as session:
        session.add(Letter(id=2, text="Lost"))
        session.commit()
        raise DeliberateError
    assert letters(recorder) == 1


def test_session_with_events(factory: SQLAlchemyFactory) -> None:
    factory.__class__ = OwnFactory
    recorder = factory.application_recorder()
    with recorder.session() as session:
        session.add(Letter(id=1, text="Welcome"))
        recorder.insert_events(new_events())
    with suppress(DeliberateError), recorder.session() as session:
        session.add(Letter(id=2, text="Lost"))
        recorder.insert_events(new_events())
        raise DeliberateError
    assert ids(recorder) == [1]
    assert letters(recorder) == 1


class Notes(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    notes = Table("notes", metadata, Column("id", Integer, primary_key=True))


def test_session_of_a_view_without_an_event(factory: SQLAlchemyFactory) -> None:
    view = factory.tracking_recorder(Notes)
    with view.session() as session:
        session.execute(insert(Notes.notes).values(id=1))
    with view.session(Tracking("upstream", 1)) as session:
        session.execute(insert(Notes.notes).values(id=2))
    with view.reading() as connection:
        assert connection.scalars(select(Notes.notes.c.id)).all() == [1, 2]
    assert view.max_tracking_id("upstream") == 1


def test_commit_as_in_the_library_s_datastores(factory: SQLAlchemyFactory) -> None:
    recorder = factory.application_recorder()
    for transaction in recorder.transaction, recorder.datastore.transaction:
        with transaction(commit=True):
            recorder.insert_events(new_events())
        with transaction(commit=False) as connection:
            assert connection.exec_driver_sql("SELECT 1").scalar() == 1
        with transaction(commit=True) as outer, transaction(commit=False) as inner:
            assert outer is inner
    assert ids(recorder) == [1, 2]


def test_what_is_not_to_be_committed_is_rolled_back(factory: SQLAlchemyFactory) -> None:
    recorder = factory.tracking_recorder(Notes)
    with recorder.transaction(commit=False) as connection:
        connection.execute(insert(Notes.notes).values(id=1))
    with recorder.transaction(commit=False) as connection:
        assert connection.scalars(select(Notes.notes.c.id)).all() == []


def test_transaction_of_the_caller_s_is_not_to_be_rolled_back(
    factory: SQLAlchemyFactory,
) -> None:
    recorder = factory.tracking_recorder()
    with recorder.reading() as connection:
        block = recorder.transaction(connection, commit=False)
        with pytest.raises(ProgrammingError, match="both bind and commit=False"):
            block.__enter__()
