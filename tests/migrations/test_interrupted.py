"""A migration that does not end: its own error is raised, and the next one ends it."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import pytest
from eventsourcing.persistence import OperationalError
from sqlalchemy import Engine, event

from backends import Backend, Capability
from eventsourcing_alchemy import SQLAlchemyFactory
from factories import OpenFactory
from faults.sessions import Sessions


@contextmanager
def within(engine: Engine, happen: Callable[[], None]) -> Iterator[None]:
    """Lets something happen in the midst of a statement that creates a table."""
    times = iter([happen])

    def hear(_: Any, statement: str, *__: Any) -> None:
        if "CREATE TABLE" in statement and "es_tracking" in statement:
            for each in times:
                each()

    event.listen(engine, "do_execute", hear)
    yield
    event.remove(engine, "do_execute", hear)


def interrupt() -> None:
    raise KeyboardInterrupt


@pytest.mark.needs(Capability.SHARED)
def test_by_a_signal(factory: SQLAlchemyFactory, open_factory: OpenFactory) -> None:
    with within(factory.datastore.engine, interrupt), pytest.raises(KeyboardInterrupt):
        factory.application_recorder()
    open_factory().application_recorder()


@pytest.mark.needs(Capability.SERVER)
def test_by_an_operator(
    backend: Backend, factory: SQLAlchemyFactory, open_factory: OpenFactory
) -> None:
    def end() -> None:
        Sessions(backend.url).end("migration")

    # It may be tried again.
    with within(factory.datastore.engine, end), suppress(OperationalError):
        factory.application_recorder()
    open_factory().application_recorder()
