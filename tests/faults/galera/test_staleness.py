"""Nodes that are behind the others: what is read there is old, but never wrong."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from itertools import cycle

import pytest
from eventsourcing.application import AggregateNotFoundError
from sqlalchemy import NullPool, create_engine

from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from faults.galera.clients import Clients
from faults.galera.cluster import GaleraCluster, GaleraNode
from soak.bank import Account
from soak.totals import Counting

SYNC = "?init_command=SET+SESSION+wsrep_sync_wait=1"
"""What users append to the URL, to read everywhere what was written anywhere."""


@contextmanager
def behind(node: GaleraNode) -> Iterator[None]:
    """For the time of the block, the node applies nothing that others commit."""
    connection = node._connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("FLUSH TABLES WITH READ LOCK")
        yield
    finally:
        connection.close()


def test_reads_its_writes_where_it_waits_for_them(
    cluster: GaleraCluster, clients: Clients
) -> None:
    ahead, slow, _ = cluster.nodes
    bank = clients.bank(clients.env(ahead))
    cluster.catch_up()
    env = clients.env(slow)
    stale = clients.bank(env)
    synced = clients.bank({**env, "SQLALCHEMY_URL": env["SQLALCHEMY_URL"] + SYNC})
    account = Account()
    with ThreadPoolExecutor(1) as threads, ExitStack() as stack:
        stack.enter_context(behind(slow))
        bank.save(account)
        with pytest.raises(AggregateNotFoundError):
            stale.repository.get(account.id)
        assert stale.recorder.max_notification_id() is None
        reading: Future[Account]
        reading = threads.submit(synced.repository.get, account.id)
        with pytest.raises(TimeoutError):
            reading.result(0.3)
        stack.close()
        assert reading.result(10) == account


def test_waits_for_a_projection_on_another_node(
    cluster: GaleraCluster, clients: Clients
) -> None:
    """What it has done is seen there when that node has it."""
    first, second, third = (clients.env(node) for node in cluster.nodes)
    clients.create_tables(first)
    cluster.catch_up()
    bank = clients.bank(first)
    clients.runner(second, Counting)
    view = clients.view(third, Counting)
    for _ in range(3):
        (*_, recording) = bank.save(Account())
        view.wait(bank.name, recording.notification.id, timeout=10)
        assert view.max_tracking_id(bank.name) == recording.notification.id
    assert sum(total.events for total in view.all().values()) == 3


@pytest.mark.parametrize("first", [0, 1])
def test_nothing_is_passed_over_that_a_node_does_not_have_yet(
    cluster: GaleraCluster,
    clients: Clients,
    topic_of: Callable[[object], str],
    first: int,
) -> None:
    """A balancer leads each connection to another node."""
    ahead, slow, _ = cluster.nodes
    turns = cycle([ahead, slow])
    for _ in range(first):
        next(turns)
    engine = create_engine(
        "mariadb+pymysql://",
        creator=lambda: clients.connector([next(turns)])(),
        poolclass=NullPool,
        isolation_level="READ COMMITTED",
    )
    env = clients.env(ahead)
    bank = clients.bank(env)
    cluster.catch_up()
    balanced = clients.bank({**env, "SQLALCHEMY_ENGINE_TOPIC": topic_of(engine)})
    assert isinstance(balanced.recorder, SQLAlchemyApplicationRecorder)
    found = []
    with balanced.recorder.subscribe() as subscription:
        with behind(slow):
            for _ in range(3):
                bank.save(Account())
            found += [subscription.look(0.01) for _ in range(10)]
        bank.save(Account())
        found += [subscription.look(0.1) for _ in range(10)]
    assert [each.id for each in found if each] == [1, 2, 3, 4]
