"""Rebuilds that a disk, a server or a failover gets in the way of."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import pytest
from eventsourcing.persistence import OperationalError

from eventsourcing_alchemy import RebuildPhase, RebuildProgress
from eventsourcing_alchemy.operations.rebuild import patience
from faults.databases import fresh_database
from faults.disks import fill, small_disk
from faults.missing import available
from faults.postgresql import PostgreSQLServer, Standby
from rebuilding.in_use import InUse
from rebuilding.shop import Shop

SIZE = 8 * 1024 * 1024


@pytest.fixture
def disk() -> Iterator[Path]:
    with TemporaryDirectory() as folder:
        Path(folder).chmod(0o711)  # The server's own user comes through it.
        with small_disk(Path(folder), SIZE) as disk:
            yield disk


@pytest.fixture(params=["sqlite", "postgresql"])
def in_use(request: pytest.FixtureRequest, disk: Path) -> Iterator[InUse]:
    """A view in use, whose new tables are on the small disk."""
    if request.param == "sqlite":
        url = f"sqlite:///{disk / 'test.db'}"
        env = {"PERSISTENCE_MODULE": "eventsourcing_alchemy", "SQLALCHEMY_URL": url}
        with Shop(env) as shop:
            yield used(env, shop)
        return
    with (
        available(),
        PostgreSQLServer() as server,
        fresh_database(server.url()) as env,
        Shop(env) as shop,
    ):
        in_use = used(env, shop)
        has_tables_on(disk, server)
        yield in_use


def has_tables_on(disk: Path, server: PostgreSQLServer) -> None:
    """Have what is created from now on there."""
    folder = disk / "tables"
    folder.mkdir()
    if os.geteuid() == 0:
        shutil.chown(folder, server._owner)
    for statement in (
        f"CREATE TABLESPACE small LOCATION '{folder}'",
        "ALTER SYSTEM SET default_tablespace = small",
        "SELECT pg_reload_conf()",
    ):
        server.execute(statement)


def used(env: dict[str, str], shop: Shop) -> InUse:
    in_use = InUse(env, shop)
    for _ in range(20):
        shop.order("Ada", lines=9)
    in_use.catch_up()
    return in_use


def test_out_of_disk(
    in_use: InUse, disk: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The view in use is as it was, and the next rebuild goes on."""
    monkeypatch.setattr(patience, "LONGEST_SHORTAGE", 0.2)
    ballast: list[Path] = []
    positions: list[int] = []

    def no_room(progress: RebuildProgress) -> None:
        if progress.position > 20 and not ballast:
            ballast.append(fill(disk))
        positions.append(progress.position)

    before = in_use.content()
    with pytest.raises(OperationalError, match=r"no room to rebuild .* is as it was"):
        in_use.rebuild(progress=no_room)
    assert in_use.content() == before
    ballast[0].unlink()
    reached = positions[-1]
    positions.clear()
    in_use.rebuild(progress=no_room)
    assert positions[0] > reached
    assert in_use.content() == before


def test_failover(
    primary: PostgreSQLServer, standby: Standby, env_of_both: dict[str, str]
) -> None:
    """In the middle of building, and in the middle of the switch."""
    with Shop(env_of_both) as shop:
        in_use = used(env_of_both, shop)
        before = in_use.content()
        with in_use.running() as runner:

            def fail_over(progress: RebuildProgress) -> None:
                if progress.phase is RebuildPhase.SWITCHING and primary.is_running:
                    primary.kill()
                    standby.promote()

            in_use.rebuild(progress=fail_over)
            assert in_use.content() == before
            runner.wait(shop.order("Bea"), timeout=30)
        assert [position for *_, position in in_use.content()] == in_use.lines()


@pytest.fixture
def env_of_both(standby: Standby) -> Iterator[dict[str, str]]:
    """A URL that leads to the primary, whichever of the two it is."""
    with fresh_database(standby.url_of_both()) as env:
        yield env
