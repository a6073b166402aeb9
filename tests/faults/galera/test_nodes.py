"""Nothing lost, nothing twice, in order, on every node of a cluster."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from threading import Event
from time import monotonic

from faults.galera.clients import (
    Clients,
    Follower,
    Runner,
    Stored,
    book,
    conflicts,
    stored_on,
    write,
)
from faults.galera.cluster import GaleraCluster
from faults.report import recovered
from faults.waiting import wait_until
from soak.bank import Account, Bank
from soak.booking_log import BookingLog, read
from soak.journal import Entry
from soak.theatre import Theatre
from soak.totals import Counting, CountingTagged, Replay

WRITERS = 2
"""Of each bank."""

SAVES = 10
"""Of each writer in each phase: before, during and after the absence of a node."""

BOOKINGS = 10
"""Likewise, in each theatre."""


class Leased(Counting):
    """One copy at a time processes events."""


class Competing(Counting):
    """All copies try to process every event."""


class Booked(CountingTagged):
    """The same of events with tags."""


def run(clients: Clients, envs: Sequence[dict[str, str]]) -> list[Runner]:
    """A copy of each projection of the bank in each environment."""
    leases: dict[type[Counting], float | None] = {Leased: 2.0, Competing: None}
    return [
        clients.runner(env, counting, lease_duration=duration)
        for env in envs
        for counting, duration in leases.items()
    ]


def save(fault: str, bank: Bank) -> list[Stored]:
    """Save an account, and note how long it takes."""
    start = monotonic()
    acknowledged = [Stored.of(each) for each in bank.save(Account())]
    recovered(fault, monotonic() - start)
    return acknowledged


def lose_a_node(
    cluster: GaleraCluster,
    banks: Sequence[Bank],
    theatres: Sequence[Theatre],
    followers: Sequence[Follower],
) -> tuple[list[Stored], list[Entry]]:
    """Write while the last node dies and returns; what was acknowledged."""
    lost = cluster.nodes[-1]
    *_, waiting, failing_over = banks
    phases = [Event(), Event(), Event()]
    with ThreadPoolExecutor(WRITERS * len(banks) + len(theatres)) as threads:
        writing = [
            threads.submit(write, bank, seed, SAVES, phases)
            for seed, bank in enumerate([*banks] * WRITERS)
        ]
        booking = [
            threads.submit(book, theatre, seed, BOOKINGS, phases)
            for seed, theatre in enumerate(theatres)
        ]
        phases[0].set()
        wait_until(lambda: all(each.seen for each in followers), "nobody follows")
        lost.kill()
        phases[1].set()
        acknowledged = save("Galera: another node takes over", failing_over)
        lost.start()
        acknowledged += save("Galera: the node is back", waiting)
        phases[2].set()
        for each in writing:
            acknowledged += each.result(60)
        booked = [entry for each in booking for entry in each.result(60)]
    return sorted(acknowledged), sorted(booked)


def test_everything_once_and_in_order_on_every_node(
    cluster: GaleraCluster,
    clients: Clients,
    database: str,
    topic_of: Callable[[object], str],
) -> None:
    """Clients of the node that dies fail over to another one, or wait for it."""
    *others, lost = cluster.nodes
    connect = topic_of(clients.connector([lost, *others]))
    envs = [clients.env(node) for node in cluster.nodes]
    envs.append(clients.env(lost, SQLALCHEMY_CONNECTION_CREATOR_TOPIC=connect))
    clients.create_tables(envs[0])
    cluster.catch_up()
    banks = [clients.bank(env) for env in envs]
    theatres = [clients.theatre(env) for env in envs]
    followers = [clients.follower(bank) for bank in banks]
    spectators = [clients.follower(theatre) for theatre in theatres]
    runners = run(clients, envs)
    counting = [clients.runner(env, Booked, Theatre) for env in envs]

    with conflicts() as in_conflict:
        acknowledged, booked = lose_a_node(
            cluster, banks, theatres, [*followers, *spectators]
        )
        last = len(acknowledged)
        for runner in runners:
            runner.wait(last, timeout=60)
        for runner in counting:
            runner.wait(len(booked), timeout=60)
    assert in_conflict, "this would show nothing"

    replay = Replay()
    for position, account_id, _ in acknowledged:
        replay.count(account_id, position)
    positions = list(range(1, last + 1))
    assert [each.position for each in acknowledged] == positions
    for node in cluster.nodes:
        assert stored_on(node, database) == acknowledged
    for follower in followers:
        wait_until(lambda: len(follower.seen) >= last, "a follower misses events")  # noqa: B023
        assert follower.seen == positions
    cluster.catch_up()
    for runner in runners:
        assert runner.view.max_tracking_id("Bank") == last
        assert runner.view.all() == replay.totals
    check_bookings(cluster, database, booked, spectators, counting)


def check_bookings(
    cluster: GaleraCluster,
    database: str,
    booked: list[Entry],
    followers: Sequence[Follower],
    runners: Sequence[Runner],
) -> None:
    """Fail unless each node has each booking once, and no conflict was missed."""
    for node in cluster.nodes:
        log = BookingLog()
        log.take(read(node.url(database)))
        assert log.stored == set(booked)
        assert (log.count, log.gaps, log.twice, log.missed) == (len(booked), 0, 0, 0)
    for follower in followers:
        wait_until(lambda: len(follower.seen) >= log.count, "a follower misses events")  # noqa: B023
        assert follower.seen == list(range(1, log.count + 1))
    for runner in runners:
        assert runner.view.max_tracking_id("Theatre") == log.count
        assert runner.view.all() == log.replay.totals
