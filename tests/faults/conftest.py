"""What breaks servers and connections, and servers to break."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from backends import Backend
from faults.mariadb import MariaDBServer
from faults.missing import available
from faults.postgresql import PostgreSQLServer, Standby
from faults.proxy import Proxy
from faults.servers import Server

collect_ignore = ["galera"]
"""They take long. `python -m pytest tests/faults/galera` runs them nevertheless."""


@pytest.fixture
def proxy(backend: Backend) -> Iterator[Proxy]:
    """Stands before the database, which must have a server."""
    with Proxy(backend.url) as proxy:
        yield proxy


@pytest.fixture(
    scope="session",
    params=[PostgreSQLServer, MariaDBServer],
    ids=["postgresql", "mariadb"],
)
def _server(request: pytest.FixtureRequest) -> Iterator[Server]:
    with available(), request.param() as server:
        yield server


@pytest.fixture
def server(_server: Server) -> Server:
    """A server of our own, one of a kind for all tests, running."""
    if not _server.is_running:
        _server.start()
    return _server


@pytest.fixture
def primary() -> Iterator[PostgreSQLServer]:
    """A server of our own, of this test only."""
    with available(), PostgreSQLServer() as primary:
        yield primary


@pytest.fixture
def standby(primary: PostgreSQLServer) -> Iterator[Standby]:
    """The standby of the primary."""
    with available(), Standby(primary) as standby:
        yield standby
