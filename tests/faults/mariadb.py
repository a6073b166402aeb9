"""MariaDB servers of our own."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Sequence
from pathlib import Path

import pymysql
from pymysql.cursors import Cursor

from faults.missing import Missing
from faults.ports import HOST
from faults.servers import Server

_SMALL = "--innodb-log-file-size=8M"


class MariaDBServer(Server):
    """A server whose settings are the defaults, but for its size on the disk."""

    _name = "MariaDB"
    _owner = "mysql"
    _drivername = "mariadb+pymysql"
    _superuser = "root"
    _database = "mysql"
    _connection_error = pymysql.OperationalError

    def stop(self) -> None:
        """Stop it in order, ending its clients."""
        self._end(signal.SIGTERM, "")

    def _connect(self) -> pymysql.Connection[Cursor]:
        return pymysql.connect(
            host=HOST,
            port=self.port,
            user=self._superuser,
            autocommit=True,
            connect_timeout=5,
            ssl_disabled=True,
        )

    def _prepare(self) -> None:
        install = [program("mariadb-install-db"), "--no-defaults", "--skip-test-db"]
        options = ["--auth-root-authentication-method=normal", _SMALL]
        self._directory.run([*install, *options, f"--datadir={self._data}"])

    def _command(self) -> Sequence[str | Path]:
        return [
            program("mariadbd"),
            "--no-defaults",
            _SMALL,
            "--skip-name-resolve",
            f"--datadir={self._data}",
            f"--bind-address={HOST}",
            f"--port={self.port}",
            # Within the folder of data, or the path might be too long.
            "--socket=socket",
            "--pid-file=pid",
        ]


def program(name: str) -> str:
    """The path of a program of MariaDB's, or of what it needs."""
    if found := shutil.which(name, path=f"{os.defpath}:/usr/sbin:/sbin"):
        return found
    raise Missing(f"there is no {name}: install mariadb-server, galera-4 and rsync")
