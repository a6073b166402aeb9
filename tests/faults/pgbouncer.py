"""PgBouncer, before a PostgreSQL server."""

from __future__ import annotations

import shutil
import socket
from types import TracebackType
from typing import Self

from sqlalchemy import URL, make_url

from faults.guard import GuardedDirectory
from faults.missing import Missing
from faults.ports import HOST, ReservedPort
from faults.waiting import wait_until

_SETTINGS = """
[databases]
* = host={host} port={port} user={user}
[pgbouncer]
listen_addr = {listen_host}
listen_port = {listen_port}
unix_socket_dir =
auth_type = any
pool_mode = transaction
ignore_startup_parameters = extra_float_digits,options
"""


class PgBouncer:
    """A pooler in its transaction mode.

    Args:
        url: of the database behind it.

    Attributes:
        url: the same database through the pooler.

    Raises:
        Missing: this machine has none.
    """

    def __init__(self, url: str) -> None:
        program = shutil.which("pgbouncer", path="/usr/sbin:/usr/bin:/usr/local/bin")
        if program is None:
            raise Missing("there is no PgBouncer: install Debian's package 'pgbouncer'")
        self._program = program
        self._server: URL = make_url(url)
        self._port = ReservedPort()
        self.url = self._server.set(host=HOST, port=self._port.number).render_as_string(
            hide_password=False
        )

    def __enter__(self) -> Self:
        self._directory = GuardedDirectory("postgres")
        settings = _SETTINGS.format(
            host=self._server.host,
            port=self._server.port,
            user=self._server.username,
            listen_host=HOST,
            listen_port=self._port.number,
        )
        file = self._directory.path / "pgbouncer.ini"
        file.write_text(settings)
        file.chmod(0o644)
        self._process = self._directory.popen([self._program, "--quiet", str(file)])
        wait_until(self._is_listening, "PgBouncer does not listen")
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._directory.close()
        self._port.close()
        self._process.wait()

    def _is_listening(self) -> bool:
        try:
            socket.create_connection((HOST, self._port.number)).close()
        except ConnectionRefusedError:
            return False
        return True
