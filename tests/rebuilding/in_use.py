"""A view that is in use: runners, writers and readers of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from threading import Event, Thread
from typing import Any

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from eventsourcing.persistence import OperationalError
from sqlalchemy import Connection, NullPool, create_engine, func, inspect, select

from backends import Backend
from eventsourcing_alchemy import (
    DeadLetters,
    SQLAlchemyProjectionRunner,
    rebuild,
    reset,
)
from factories import construct_factory
from rebuilding.shop import Orders, OrdersProjection, Shop

Runner = SQLAlchemyProjectionRunner[Shop, Orders]


@dataclass
class Busy:
    """What those who use the view have seen."""

    is_tolerant: bool = False
    """Whether the database may be out of reach for a moment."""
    reads: int = 0
    writes: int = 0
    problems: list[object] = field(default_factory=list)


@dataclass
class InUse:
    """A view of a shop, and those who use it."""

    env: dict[str, str]
    shop: Shop

    def rebuild(self, **arguments: Any) -> None:
        rebuild(**{**self._classes, **arguments})

    def reset(self, **arguments: Any) -> None:
        reset(**{**self._classes, **arguments})

    @property
    def _classes(self) -> dict[str, Any]:
        return {
            "application_class": Shop,
            "projection_class": OrdersProjection,
            "view_class": Orders,
            "env": self.env,
        }

    @contextmanager
    def running(self, **arguments: Any) -> Iterator[Runner]:
        with SQLAlchemyProjectionRunner(**{**self._classes, **arguments}) as runner:
            yield runner

    def catch_up(self) -> None:
        """Has a runner process all events."""
        with self.running() as runner:
            runner.wait(self.shop.recorder.max_notification_id(), timeout=60)

    @contextmanager
    def view(self, view_class: type[Orders] = Orders) -> Iterator[Orders]:
        factory = construct_factory(OrdersProjection.name, self.env)
        try:
            yield factory.tracking_recorder(view_class)
        finally:
            factory.close()

    def content(self) -> list[tuple[Any, ...]]:
        with self.view() as view:
            return view.content()

    def lines(self) -> list[int]:
        """The positions of the lines that the view should have."""
        found = self.shop.recorder.select_notifications(1, 100_000)
        return [each.id for each in found if each.topic.endswith("LineAdded")]

    def dead_letters(self) -> list[int]:
        with self.view() as view:
            return [each.notification_id for each in DeadLetters(view).select()]

    @contextmanager
    def busy(self, *, is_tolerant: bool = False, **arguments: Any) -> Iterator[Busy]:
        """A writer, a reader and a runner use it during the block."""
        seen, ended = Busy(is_tolerant), Event()
        with ExitStack() as stack:
            runner = stack.enter_context(self.running(**arguments))
            for work in (self._write, self._read):
                thread = Thread(target=work, args=(runner, seen, ended))
                thread.start()
                stack.callback(thread.join)
            stack.callback(ended.set)
            yield seen
            assert runner.is_interrupted.is_set() is False

    def _write(self, runner: Runner, seen: Busy, ended: Event) -> None:
        while not ended.is_set():
            try:
                runner.wait(self.shop.order("Bea", lines=2), timeout=60)
                seen.writes += 1
            except BaseException as error:
                seen.problems.append(error)
                return

    def _read(self, runner: Runner, seen: Busy, ended: Event) -> None:
        """Each look sees at least what the one before saw, in all tables."""
        before = 0
        while not ended.is_set():
            try:
                number = _number_of_lines(runner.view)
            except OperationalError as error:
                if not seen.is_tolerant:
                    seen.problems.append(error)
                continue
            except BaseException as error:
                seen.problems.append(error)
                return
            if number < before:
                seen.problems.append(f"{before} lines, then {number}")
            before = number
            seen.reads += 1


def _number_of_lines(view: Orders) -> int:
    """By one statement, which sees one moment on every database."""
    lines = select(func.count()).select_from(Orders.lines).scalar_subquery()
    totals = select(func.sum(Orders.totals.c.lines)).scalar_subquery()
    with view.reading() as connection:
        counted, summed = connection.execute(select(lines, totals)).one()
    assert counted == summed, f"{counted} lines, of which {summed} are counted"
    return int(counted)


@contextmanager
def connected(backend: Backend) -> Iterator[Connection]:
    engine = create_engine(backend.url, poolclass=NullPool)
    with engine.connect() as connection:
        yield connection


def names(connection: Connection, schema: str | None = None) -> dict[str, Any]:
    """Names of all that belongs to the tables, as the database tells them."""
    inspector = inspect(connection)
    looks: list[Any] = [
        inspector.get_foreign_keys,
        inspector.get_unique_constraints,
        inspector.get_check_constraints,
        inspector.get_indexes,
    ]
    return {
        table: [
            inspector.get_pk_constraint(table, schema)["name"],
            *(
                sorted(str(each["name"]) for each in look(table, schema))
                for look in looks
            ),
            *(
                (each["name"], str(each["type"]), each["default"])
                for each in inspector.get_columns(table, schema)
            ),
        ]
        for table in inspector.get_table_names(schema)
    }


def differences(connection: Connection) -> Sequence[Any]:
    """What `alembic check` of the user's own environment would find."""
    ours = Orders.metadata.tables

    def include(name: str | None, kind: str, _: Any) -> bool:
        return kind != "table" or name in ours

    options = {"include_name": include, "compare_server_default": True}
    context = MigrationContext.configure(connection, opts=options)
    return list(compare_metadata(context, Orders.metadata))
