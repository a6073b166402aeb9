"""Databases to copy from, beside the one to copy to."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import make_url

from backends import Backend
from transfer.origins import Env, Origin, PeerOrigin, PostgresOrigin, SQLiteOrigin


@pytest.fixture
def other_backend(
    backend: Backend, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Backend]:
    """Another empty database of the same kind."""
    other = backend.fresh(tmp_path_factory.mktemp("other"))
    try:
        yield other
    finally:
        other.discard(reusable=False)


@pytest.fixture
def ours(other_backend: Backend) -> Origin:
    """This package, in another database of the same kind."""
    module = "eventsourcing_alchemy"
    return Origin({"PERSISTENCE_MODULE": module, "SQLALCHEMY_URL": other_backend.url})


@pytest.fixture
def sqlite(tmp_path: Path) -> Origin:
    """The library's own, in a file."""
    name = str(tmp_path / "old.db")
    return SQLiteOrigin(
        {"PERSISTENCE_MODULE": "eventsourcing.sqlite", "SQLITE_DBNAME": name}
    )


@pytest.fixture
def peer(backend: Backend) -> Origin:
    """The peer, in the same database."""
    module = "eventsourcing_sqlalchemy"
    return PeerOrigin({"PERSISTENCE_MODULE": module, "SQLALCHEMY_URL": backend.url})


def postgres_env(backend: Backend, module: str) -> Env:
    """The same database, as the library's own modules are told of it."""
    url = make_url(backend.url)
    return {
        "PERSISTENCE_MODULE": module,
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": url.host or "",
        "POSTGRES_PORT": str(url.port or 5432),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": url.password or "",
        "POSTGRES_POOL_SIZE": "1",
    }


@pytest.fixture
def postgres(backend: Backend) -> Origin:
    """The library's own, in the same database."""
    return PostgresOrigin(postgres_env(backend, "eventsourcing.postgres"))


@pytest.fixture(params=["ours", "sqlite", "peer"])
def origin(request: pytest.FixtureRequest) -> Origin:
    """A database to copy from, of each module that goes with every database."""
    found: Origin = request.getfixturevalue(request.param)
    return found
