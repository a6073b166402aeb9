"""A cluster for all tests here, and clients of its nodes."""

from __future__ import annotations

import gc
import secrets
import threading
from collections.abc import Iterator
from contextlib import ExitStack

import pytest

from faults.galera.clients import Clients
from faults.galera.cluster import GaleraCluster
from faults.missing import available
from faults.waiting import wait_until


@pytest.fixture(scope="session")
def _cluster() -> Iterator[GaleraCluster]:
    with available(), GaleraCluster() as cluster:
        yield cluster


@pytest.fixture
def cluster(_cluster: GaleraCluster) -> GaleraCluster:
    """A cluster of our own, all of whose nodes run."""
    for node in _cluster.nodes:
        if not node.is_running:
            node.start()
    return _cluster


@pytest.fixture
def database(cluster: GaleraCluster) -> Iterator[str]:
    """The name of an empty database, on all nodes."""
    name = f"es_{secrets.token_hex(4)}"
    cluster.nodes[0].execute(f"CREATE DATABASE {name}")
    cluster.catch_up()
    yield name
    cluster.nodes[0].execute(f"DROP DATABASE {name}")


@pytest.fixture
def clients(
    cluster: GaleraCluster, database: str, caplog: pytest.LogCaptureFixture
) -> Iterator[Clients]:
    """Opens what uses the database; closed after the test, and nothing is left."""
    before = set(threading.enumerate())
    with ExitStack() as stack:
        yield Clients(database, stack)
    # SQLAlchemy logs tracebacks of lost connections, which keep what used them.
    caplog.get_records("call").clear()
    gc.collect()

    def is_nothing_left() -> bool:
        threads = before.issuperset(threading.enumerate())
        return threads and not any(node.sessions(database) for node in cluster.nodes)

    wait_until(is_nothing_left, "threads or sessions are left", patience=5)
