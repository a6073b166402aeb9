"""Blocks that take few round trips, and do what they would do with more."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from runpy import run_path
from typing import Any, ClassVar

import psycopg
import pytest
from eventsourcing.persistence import (
    IntegrityError,
    PersistenceError,
    Tracking,
)
from sqlalchemy import (
    Column,
    Connection,
    Integer,
    MetaData,
    String,
    Table,
    bindparam,
    event,
    func,
    insert,
    select,
    text,
)

from backends import Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert
from eventsourcing_alchemy import metadata as own_metadata
from eventsourcing_alchemy.dialects.postgresql import round_trips
from eventsourcing_alchemy.statements.compiled import Compiled
from factories import OpenFactory

_TRIP = re.compile(r"^F\t\d+\t(Sync|Query)\b", re.MULTILINE)
"""What a client waits after, in libpq's trace."""


class Sums(SQLAlchemyMaterialisedView):
    metadata: ClassVar[MetaData] = MetaData()
    sums = Table(
        "sums",
        metadata,
        Column("name", String(20), primary_key=True),
        Column("total", Integer, nullable=False),
    )
    add = upsert(
        sums,
        {"name": bindparam("name"), "total": bindparam("by")},
        set_={"total": sums.c.total + bindparam("by")},
    )

    def totals(self) -> dict[str, int]:
        with self.reading() as connection:
            rows = connection.execute(select(self.sums))
            return {row.name: row.total for row in rows}

    def position(self) -> int | None:
        return self.max_tracking_id("upstream")


@pytest.fixture
def view(open_factory: OpenFactory) -> Sums:
    for table in (*Sums.metadata.tables.values(), own_metadata.tables["es_tracking"]):
        table.info.clear()
    found: Sums = open_factory("Sums").tracking_recorder(Sums)
    process(found, 1)
    return found


def at(position: int) -> Tracking:
    return Tracking("upstream", position)


def process(view: Sums, position: int, name: str = "a", by: int | None = 1) -> None:
    with view.processing(at(position)) as connection:
        connection.execute(view.add, {"name": name, "by": by})


def driver_connection(view: Sums) -> Any:
    """That of the pool, which is used next."""
    with view.datastore.engine.connect() as connection:
        return connection.connection.driver_connection


@contextmanager
def traced(view: Sums, directory: Path) -> Iterator[list[str]]:
    """Counts round trips, one string for each."""
    pgconn, trips = driver_connection(view).pgconn, list[str]()
    with (directory / "trace").open("w+") as file:
        pgconn.trace(file.fileno())
        pgconn.set_trace_flags(psycopg.pq.Trace.SUPPRESS_TIMESTAMPS)
        try:
            yield trips
        finally:
            pgconn.untrace()
            file.seek(0)
            trips += _TRIP.findall(file.read())


def trips_of_a_block(view: Sums, directory: Path, position: int = 2) -> int:
    with traced(view, directory) as trips:
        process(view, position)
    assert view.totals() == {"a": position}
    assert view.position() == position
    return len(trips)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_two_round_trips(view: Sums, tmp_path: Path) -> None:
    """BEGIN and the position, the upsert and COMMIT."""
    assert [trips_of_a_block(view, tmp_path, n) for n in (2, 3)] == [2, 2]


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_a_trip_for_what_is_not_the_last_statement(view: Sums, tmp_path: Path) -> None:
    with traced(view, tmp_path) as trips, view.processing(at(2)) as connection:
        connection.execute(view.add, {"name": "b", "by": 1})
        total = connection.scalar(select(func.sum(view.sums.c.total)))
        connection.execute(view.add, [{"name": n, "by": total} for n in "abc"])
    assert len(trips) == 4
    assert view.totals() == {"a": 3, "b": 3, "c": 2}


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
@pytest.mark.parametrize("query", ["prepare_threshold=none", "prepare_threshold=5"])
def test_without_prepared_statements(
    open_factory: OpenFactory, view: Sums, tmp_path: Path, query: str
) -> None:
    """A pooler may lead each transaction to another session."""
    url = view.datastore.engine.url.update_query_string(query)
    given = url.render_as_string(hide_password=False)
    other = open_factory("Sums", SQLALCHEMY_URL=given).tracking_recorder(Sums)
    process(other, 2)
    assert trips_of_a_block(other, tmp_path, 3) == 2
    process(other, 4)
    prepared = driver_connection(other).execute("TABLE pg_prepared_statements")
    ours = [row for row in prepared if row[0].startswith("es_")]
    assert bool(ours) == (query != "prepare_threshold=none")


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_session_that_has_lost_its_statements(view: Sums) -> None:
    process(view, 2)
    with view.datastore.engine.begin() as connection:
        connection.execute(text("DEALLOCATE ALL"))
    for position in (3, 4):
        process(view, position)
    assert (view.totals(), view.position()) == ({"a": 4}, 4)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_session_that_loses_its_statements_in_the_block(view: Sums) -> None:
    """psycopg has it forget all that is prepared, also after a savepoint."""
    total = select(func.sum(view.sums.c.total))
    for position in range(2, 12):
        with view.processing(at(position)) as connection:
            for _ in range(5):
                connection.scalar(total)
            with suppress(DeliberateError), connection.begin_nested():
                raise DeliberateError
            connection.execute(view.add, {"name": "a", "by": 1})
        with view.reading() as connection:
            connection.scalar(total)
    assert (view.totals(), view.position()) == ({"a": 11}, 11)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_statements_are_prepared_once(view: Sums) -> None:
    for position in range(2, 20):
        process(view, position)
    names = "SELECT count(*) FROM pg_prepared_statements WHERE name LIKE 'es%'"
    assert driver_connection(view).execute(names).fetchone()[0] <= 3


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_names_of_statements_are_not_those_of_other_processes(view: Sums) -> None:
    """They may share a session, behind a pooler."""
    for selected in view.sums.c:
        another_process = run_path(round_trips.__file__)
        with view.datastore.engine.connect() as connection:
            compiled = Compiled(select(selected), connection.dialect, None)
            session = connection.connection.dbapi_connection
            another_process["begin_with"](session, compiled, {})


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_statements_that_are_not_prepared_any_more(
    view: Sums, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(round_trips, "MOST_PREPARED", 1)
    with view.datastore.engine.connect() as connection:
        connection.invalidate()
    for position in (2, 3):
        process(view, position)
    assert (view.totals(), view.position()) == ({"a": 3}, 3)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_cursors_of_the_user_see_all(view: Sums) -> None:
    """Those of a tool that traces statements, say."""
    seen: list[str] = []

    class Seeing(psycopg.Cursor[Any]):
        def execute(self, query: Any, *args: Any, **kwargs: Any) -> Any:
            seen.append(query)
            return super().execute(query, *args, **kwargs)

    driver_connection(view).cursor_factory = Seeing
    process(view, 2)
    assert [each.split()[0] for each in seen] == ["UPDATE", "INSERT"]


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_isolation_level_of_the_session(view: Sums) -> None:
    driver_connection(view).isolation_level = psycopg.IsolationLevel.SERIALIZABLE
    with view.processing(at(2)) as connection:
        level = connection.scalar(text("SHOW transaction_isolation"))
    assert level == "serializable"


def test_those_who_listen_for_commit(view: Sums) -> None:
    """What they execute is part of the transaction, and they see the upsert."""
    heard: list[int] = []

    def hear(connection: Connection) -> None:
        heard.append(connection.scalar(select(func.sum(view.sums.c.total))) or 0)
        connection.execute(insert(view.sums).values(name="heard", total=1))

    event.listen(view.datastore.engine, "commit", hear, once=True)
    process(view, 2)
    with view.processing(at(3)) as connection:
        event.listen(connection, "commit", lambda c: hear(c) if not heard[1:] else None)
        connection.execute(view.sums.delete().where(view.sums.c.name == "heard"))
        connection.execute(view.add, {"name": "a", "by": 1})
    assert heard == [2, 3]
    assert view.totals() == {"a": 3, "heard": 1}


def test_what_is_refused_leaves_nothing(view: Sums) -> None:
    for name, by in (("b", None), ("b" * 21, 1)) if _is_strict(view) else [("b", None)]:
        with pytest.raises(PersistenceError):
            process(view, 2, name, by)
        assert (view.totals(), view.position()) == ({"a": 1}, 1)
    process(view, 2)
    with pytest.raises(IntegrityError, match="already processed position 2"):
        process(view, 2)
    assert (view.totals(), view.position()) == ({"a": 2}, 2)


def _is_strict(view: Sums) -> bool:
    return view.datastore.engine.dialect.name != "sqlite"


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_values_that_the_driver_refuses(view: Sums) -> None:
    with pytest.raises(PersistenceError):
        process(view, 2, "a\0b")
    process(view, 2)
    assert (view.totals(), view.position()) == ({"a": 2}, 2)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_what_is_refused_at_commit(view: Sums) -> None:
    with view.datastore.engine.begin() as connection:
        connection.execute(
            text(
                "ALTER TABLE sums ADD COLUMN other varchar(20) "
                "REFERENCES sums DEFERRABLE INITIALLY DEFERRED; "
                "ALTER TABLE sums ALTER COLUMN other SET DEFAULT 'none'"
            )
        )
    with pytest.raises(IntegrityError):
        process(view, 2, "b")
    assert (view.totals(), view.position()) == ({"a": 1}, 1)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
def test_who_tries_again_sees_the_error_in_the_block(view: Sums) -> None:
    seen: list[int] = []

    def try_() -> None:
        with view.processing(at(2)) as connection:
            try:
                connection.execute(view.add, {"name": "b", "by": None})
            finally:
                seen.append(0 if sys.exc_info()[0] is None else 1)

    for _ in range(2):
        with pytest.raises(IntegrityError, match="null"):
            try_()
    assert seen == [0, 1]


def test_errors_leave_nothing_waiting(view: Sums) -> None:
    with pytest.raises(DeliberateError), view.processing(at(2)) as connection:  # noqa: PT012
        connection.execute(view.add, {"name": "b", "by": 1})
        raise DeliberateError
    assert (view.totals(), view.position()) == ({"a": 1}, 1)
    process(view, 2)


def test_savepoint_contains_what_is_refused(view: Sums) -> None:
    with view.processing(at(2)) as connection:
        connection.execute(view.add, {"name": "a", "by": 1})
        with pytest.raises(Exception, match=r"(?i)null"), connection.begin_nested():
            connection.execute(view.add, {"name": "b", "by": None})
        connection.execute(view.add, {"name": "a", "by": 1})
    assert (view.totals(), view.position()) == ({"a": 3}, 2)


def test_commit_inside_of_the_block(view: Sums) -> None:
    with (  # noqa: PT012
        pytest.raises(Exception, match=r"ended|closed transaction"),
        view.processing(at(2)) as connection,
    ):
        connection.execute(view.add, {"name": "a", "by": 1})
        connection.commit()
        connection.execute(view.add, {"name": "a", "by": 10})
    assert (view.totals(), view.position()) == ({"a": 2}, 2)


def test_result_is_there_after_the_block(view: Sums) -> None:
    with view.processing(at(2)) as connection:
        result = connection.execute(view.add, {"name": "c", "by": 1})
    assert result.rowcount == 1


def test_results_of_earlier_statements(view: Sums) -> None:
    with view.processing(at(2)) as connection:
        results = [
            connection.execute(view.add, {"name": name, "by": 1}) for name in "cdd"
        ]
        assert [result.returns_rows for result in results] == [False] * 3
        connection.execute(view.add, {"name": "e", "by": 1})
        connection.scalar(select(view.sums.c.name))
        results.append(connection.execute(view.add, {"name": "e", "by": 1}))
        connection.scalar(select(view.sums.c.name))
    assert [result.returns_rows for result in results] == [False] * 4
    assert view.totals() == {"a": 1, "c": 1, "d": 2, "e": 2}


def test_in_a_transaction_around_it(view: Sums) -> None:
    with view.transaction() as connection:
        for position in (2, 3):
            process(view, position)
        assert connection.scalar(select(func.sum(view.sums.c.total))) == 3
        process(view, 4)
    assert (view.totals(), view.position()) == ({"a": 4}, 4)


@pytest.mark.needs(Capability.DEPENDENT_UPSERT)
@pytest.mark.parametrize("when", ["before", "within"])
def test_session_that_was_ended(view: Sums, when: str) -> None:
    ended = driver_connection(view).info.backend_pid

    def end() -> None:
        url = view.datastore.engine.url.set(drivername="postgresql")
        with psycopg.connect(url.render_as_string(hide_password=False)) as other:
            other.execute("SELECT pg_terminate_backend(%s, 5000)", [ended])

    if when == "before":
        end()
    with pytest.raises(PersistenceError), view.processing(at(2)) as connection:  # noqa: PT012
        connection.execute(view.add, {"name": "a", "by": 1})
        end()
    assert (view.totals(), view.position()) == ({"a": 1}, 1)
    process(view, 2)
    assert (view.totals(), view.position()) == ({"a": 2}, 2)
