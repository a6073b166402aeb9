"""Errors of databases that the package does not know, by the standard's SQLSTATEs."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from threading import Barrier

import pytest
from eventsourcing.persistence import IntegrityError
from sqlalchemy import create_engine, exc

from backends import Backend, Capability
from behaviour.workers import ids, new_events
from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.errors import (
    CannotConnectError,
    host_error,
    is_about_constraint,
)
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)
from factories import construct_factory

THREADS, APPENDS = 4, 10


class DriverError(Exception):
    pass


class OperationalError(DriverError):
    pass


def with_attribute(name: str) -> Callable[[str], DriverError]:
    def make(state: str) -> DriverError:
        error = DriverError("what the server says")
        setattr(error, name, state)
        return error

    return make


DRIVERS: list[Callable[[str], DriverError]] = [
    with_attribute("sqlstate"),
    with_attribute("pgcode"),
    lambda state: DriverError({"C": state, "M": "what the server says"}),
    lambda state: DriverError(state, f"[{state}] what the server says"),
]


@pytest.mark.parametrize("driver_error", DRIVERS)
@pytest.mark.parametrize(
    ("state", "fault"),
    [
        ("08006", ErrorKind.OUTAGE),
        ("28000", ErrorKind.REFUSED),
        ("3D000", ErrorKind.REFUSED),
        ("3F000", ErrorKind.REFUSED),
        ("40001", ErrorKind.CONFLICT),
        ("40003", ErrorKind.OUTAGE),
        ("42S02", ErrorKind.REFUSED),
        ("53100", ErrorKind.SHORTAGE),
        ("22001", ErrorKind.LASTING),
        ("23000", ErrorKind.LASTING),
    ],
)
def test_what_an_error_means(
    driver_error: Callable[[str], DriverError], state: str, fault: ErrorKind
) -> None:
    error = exc.DBAPIError("SELECT 1", None, driver_error(state))
    assert (
        error_kind_of(host_error(error), BaseDialect()) is ErrorKind.LASTING
    )  # No cause.
    assert error_kind_of(error, BaseDialect()) is fault


@pytest.mark.parametrize("driver_error", DRIVERS)
def test_constraints(driver_error: Callable[[str], DriverError]) -> None:
    error = exc.DatabaseError("INSERT", None, driver_error("23505"))
    assert is_about_constraint(error)
    assert isinstance(host_error(error), IntegrityError)
    other = exc.DatabaseError("INSERT", None, driver_error("22001"))
    assert not is_about_constraint(other)
    assert not isinstance(host_error(other), IntegrityError)


def test_connection_that_is_not_made_for_no_reason_that_is_known() -> None:
    error = CannotConnectError("no route")
    error.__cause__ = exc.DBAPIError(None, None, OperationalError("no route"))
    assert error_kind_of(error, BaseDialect()) is ErrorKind.OUTAGE
    error.__cause__ = exc.DBAPIError(None, None, DRIVERS[0]("28000"))
    assert error_kind_of(error, BaseDialect()) is ErrorKind.REFUSED


@pytest.fixture
def serializable(
    backend: Backend, env: dict[str, str], topic_of: Callable[[object], str]
) -> Iterator[SQLAlchemyApplicationRecorder]:
    engine = create_engine(
        normalise_url(backend.url),
        isolation_level="SERIALIZABLE",
        pool_size=THREADS,
    )
    env["SQLALCHEMY_ENGINE_TOPIC"] = topic_of(engine)
    with closing(construct_factory("Application", env)) as factory:
        yield factory.application_recorder()
    engine.dispose()


@pytest.mark.needs(Capability.ROW_LOCKS)
def test_conflicts_of_serializable_transactions(
    serializable: SQLAlchemyApplicationRecorder,
) -> None:
    """They are tried again until all events are stored."""
    barrier = Barrier(THREADS, timeout=10)

    def append(_: int) -> None:
        for _ in range(APPENDS):
            barrier.wait()
            # Not insert_events() alone, which threads would do together.
            stored = new_events()

            def attempt() -> None:
                with serializable.transaction():
                    serializable.insert_events(stored)  # noqa: B023

            serializable.datastore.retrying(attempt)

    with ThreadPoolExecutor(THREADS) as pool:
        list(pool.map(append, range(THREADS)))
    assert ids(serializable) == list(range(1, THREADS * APPENDS + 1))
