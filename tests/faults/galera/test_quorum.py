"""A node that has lost its cluster refuses everything; nobody is misled by it."""

from __future__ import annotations

from time import monotonic

import pytest
from eventsourcing.persistence import OperationalError

from eventsourcing_alchemy import SQLAlchemyApplicationRecorder
from faults.galera.clients import Clients, stored_on
from faults.galera.cluster import GaleraCluster
from faults.report import recovered
from faults.waiting import wait_until
from soak.bank import Account, Bank

RETRY_TIMEOUT = 1.0


def refused(bank: Bank, reason: str) -> None:
    """Write in vain, for as long as a writer tries again."""
    start = monotonic()
    with pytest.raises(OperationalError, match=reason):
        bank.save(Account())
    assert monotonic() - start > RETRY_TIMEOUT / 2


def test_waits_for_a_quorum(
    cluster: GaleraCluster, clients: Clients, database: str
) -> None:
    alone, *others = cluster.nodes
    env = clients.env(alone, SQLALCHEMY_RETRY_TIMEOUT=str(RETRY_TIMEOUT))
    bank = clients.bank(env)
    follower = clients.follower(bank)
    before = bank.save(Account())
    for node in others:
        node.kill()

    # The first one was under way while the node did not know yet.
    refused(bank, "WSREP|Primary")
    refused(bank, "WSREP")
    assert isinstance(bank.recorder, SQLAlchemyApplicationRecorder)
    outage = bank.recorder.datastore.outage
    wait_until(lambda: outage.is_on, "the subscription did not notice")
    assert follower.seen == [1]

    for node in others:
        node.launch()
    for node in others:
        node.wait_until_ready()
    back = monotonic()
    wait_until(lambda: not outage.is_on, "the subscription does not go on")
    after = bank.save(Account())
    wait_until(lambda: len(follower.seen) == 2, "the event does not arrive")
    recovered("Galera: a quorum again", monotonic() - back)
    assert follower.seen == [1, 2]
    ids = [each.domain_event.originator_id for each in [*before, *after]]
    for node in cluster.nodes:
        assert [each.account_id for each in stored_on(node, database)] == ids
