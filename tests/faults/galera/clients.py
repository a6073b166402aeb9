"""What uses a cluster: writers, followers, copies of a projection."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, closing, contextmanager
from random import Random
from threading import Event, Thread
from typing import Any, NamedTuple
from uuid import UUID

import pymysql
from eventsourcing.dcb.api import DCBSequencedEvent
from eventsourcing.persistence import Recording
from sqlalchemy import Engine, ExceptionContext, event

from eventsourcing_alchemy import SQLAlchemyProjectionRunner
from factories import construct_factory
from faults.galera.cluster import GaleraNode
from faults.ports import HOST
from soak.bank import Account, Bank, use
from soak.journal import Entry
from soak.theatre import Theatre
from soak.totals import Counting, CountingTagged, Totals

CONFLICT = 1213

Runner = SQLAlchemyProjectionRunner[Any, Totals]


class Stored(NamedTuple):
    """Where an event is."""

    position: int
    account_id: UUID
    version: int

    @classmethod
    def of(cls, recording: Recording[UUID]) -> Stored:
        """Where the event is by what its writer was told."""
        event = recording.domain_event
        return cls(
            recording.notification.id, event.originator_id, event.originator_version
        )


class Follower:
    """Follows an application in a thread, until it is closed.

    Attributes:
        seen: the positions so far.
    """

    def __init__(self, application: Bank | Theatre) -> None:
        self.seen: list[int] = []
        self._subscription: Any = application.recorder.subscribe()
        self._errors: list[Exception] = []
        self._thread = Thread(target=self._follow)
        self._thread.start()

    def _follow(self) -> None:
        try:
            with self._subscription as subscription:
                for each in subscription:
                    is_tagged = isinstance(each, DCBSequencedEvent)
                    self.seen.append(each.position if is_tagged else each.id)
        except Exception as error:
            self._errors.append(error)

    def close(self) -> None:
        """Stop following. Raises what has ended it before."""
        self._subscription.stop()
        self._thread.join()
        if self._errors:
            raise self._errors[0]


class Clients:
    """Opens what uses a database of the cluster.

    Args:
        database: its name, on all nodes.
        stack: closes what was opened.
    """

    def __init__(self, database: str, stack: ExitStack) -> None:
        self._database = database
        self._stack = stack

    def env(self, node: GaleraNode, **variables: str) -> dict[str, str]:
        """The environment of a client of one node."""
        return {
            "PERSISTENCE_MODULE": "eventsourcing_alchemy",
            "SQLALCHEMY_URL": node.url(self._database),
            "SQLALCHEMY_RETRY_TIMEOUT": "40",
            **variables,
        }

    def connector(self, nodes: Sequence[GaleraNode]) -> Callable[[], Any]:
        """Connects to the first of these nodes that answers."""

        def connect() -> Any:
            errors = []
            for node in nodes:
                try:
                    return _connect(node, self._database)
                except pymysql.OperationalError as error:
                    errors.append(error)
            raise errors[0]

        return connect

    def create_tables(self, env: dict[str, str]) -> None:
        """Create all tables, by one client: nodes do not know each other's locks."""
        with closing(construct_factory("Bank", env)) as factory:
            factory.application_recorder()
            factory.dcb_recorder()
            factory.tracking_recorder(Totals)

    def bank(self, env: dict[str, str]) -> Bank:
        return self._stack.enter_context(closing(Bank(env)))

    def theatre(self, env: dict[str, str]) -> Theatre:
        return self._stack.enter_context(closing(Theatre(env)))

    def view(self, env: dict[str, str], counting: type[Counting]) -> Totals:
        factory = construct_factory(counting.name, env)
        return self._stack.enter_context(closing(factory)).tracking_recorder(Totals)

    def follower(self, application: Bank | Theatre) -> Follower:
        return self._stack.enter_context(closing(Follower(application)))

    def runner(
        self,
        env: dict[str, str],
        counting: type[Counting | CountingTagged],
        application_class: type[Bank | Theatre] = Bank,
        **arguments: Any,
    ) -> Runner:
        return self._stack.enter_context(
            SQLAlchemyProjectionRunner(
                application_class=application_class,
                projection_class=counting,
                view_class=Totals,
                env=env,
                **arguments,
            )
        )


def stored_on(node: GaleraNode, database: str) -> list[Stored]:
    """All events, as a node has them when it has everything."""
    rows = node.execute(
        "SET STATEMENT wsrep_sync_wait = 1 FOR "  # noqa: S608
        "SELECT notification_id, hex(originator_id), originator_version "
        f"FROM {database}.es_events ORDER BY notification_id"
    )
    return [Stored(position, UUID(id_), version) for position, id_, version in rows]


def _connect(node: GaleraNode, database: str) -> Any:
    connection = pymysql.connect(
        host=HOST, port=node.port, user="root", database=database, connect_timeout=5
    )
    try:
        # One that has just come back lets us in before it answers.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except BaseException:
        connection.close()
        raise
    return connection


def write(bank: Bank, seed: int, saves: int, gates: Sequence[Event]) -> list[Stored]:
    """Save accounts whenever a gate has opened; what was acknowledged."""
    random = Random(seed)  # noqa: S311 (not for secrets)
    acknowledged = []
    for gate in gates:
        assert gate.wait(60)
        for _ in range(saves):
            account = Account()
            use(account, random, 2)
            acknowledged += [Stored.of(each) for each in bank.save(account)]
    return acknowledged


def book(
    theatre: Theatre, seed: int, bookings: int, gates: Sequence[Event]
) -> list[Entry]:
    """Book whenever a gate has opened, until so many are got; what was acknowledged."""
    random = Random(seed)  # noqa: S311 (not for secrets)
    acknowledged: list[Entry] = []
    for number, gate in enumerate(gates, 1):
        assert gate.wait(60)
        while len(acknowledged) < number * bookings:
            if entry := theatre.book(random):
                acknowledged.append(entry)
    return acknowledged


@contextmanager
def conflicts() -> Iterator[list[str]]:
    """The statements that were in conflict with those of other nodes."""
    found: list[str] = []

    def note(context: ExceptionContext) -> None:
        number, *_ = context.original_exception.args or (None,)
        if number == CONFLICT:
            found.append(context.statement or "COMMIT")

    event.listen(Engine, "handle_error", note)
    try:
        yield found
    finally:
        event.remove(Engine, "handle_error", note)
