"""A server that ends and starts again: acknowledged events are there, each once.

Positions are contiguous, a subscription and a runner go on by themselves and see
everything once and in order, and the view is what a fresh replay makes. So it is with a
standby that takes over.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from functools import partial

import pytest
from sqlalchemy import make_url

from faults.databases import fresh_database
from faults.load import WRITERS, under_load
from faults.postgresql import PostgreSQLServer, Standby
from faults.proxy import Proxy
from faults.servers import Server
from faults.waiting import wait_until

ROUNDS = 2


@pytest.fixture
def env_of_server(server: Server) -> Iterator[dict[str, str]]:
    with fresh_database(server.url()) as env:
        yield env


@pytest.fixture
def env_of_both(standby: Standby) -> Iterator[dict[str, str]]:
    """A URL that leads to the primary, whichever of the two it is."""
    with fresh_database(standby.url_of_both()) as env:
        yield env


def ends_of(server: Server) -> Iterator[tuple[str, Callable[[], None]]]:
    """All ways to end it, from the worst one."""
    yield "killed", server.kill
    if isinstance(server, PostgreSQLServer):
        yield "stopped (immediate)", partial(server.stop, "immediate")
    yield "stopped", server.stop


def test_restarts_under_load(server: Server, env_of_server: dict[str, str]) -> None:
    with under_load(env_of_server) as load:
        for kind, end in list(ends_of(server)) * ROUNDS:
            end()
            server.start()
            load.goes_on(f"{server._name} {kind} and started")


@pytest.fixture
def between(primary: PostgreSQLServer, standby: Standby) -> Iterator[Proxy]:
    """Stands between the two."""
    with Proxy(primary.url()) as proxy:
        url = make_url(proxy.url)
        options = [f"{name}={value}" for name, value in url.query.items()]
        source = [f"host={url.host}", f"port={url.port}", f"user={url.username}"]
        conninfo = " ".join(source + options)
        standby.execute(f"ALTER SYSTEM SET primary_conninfo = '{conninfo}'")
        standby.execute("SELECT pg_reload_conf()")
        sender = "SELECT sender_port FROM pg_stat_wal_receiver"
        wait_until(
            lambda: (url.port,) in standby.execute(sender),
            "the standby goes past the proxy",
        )
        standby.wait_until_synchronous()
        yield proxy


def test_failover_under_load(
    primary: PostgreSQLServer,
    standby: Standby,
    between: Proxy,
    env_of_both: dict[str, str],
) -> None:
    """While commits are under way, of which the standby never hears."""
    # One of the writers for the standby, the others for that one.
    waiting = (
        "SELECT 1 FROM pg_stat_activity WHERE wait_event IN ('SyncRep', 'advisory')"
    )
    with under_load(env_of_both) as load:
        between.stall()
        wait_until(lambda: len(primary.execute(waiting)) >= WRITERS, "nobody waits")
        primary.kill()
        between.refuse()
        standby.promote()
        load.goes_on("PostgreSQL primary killed, standby promoted")
