"""Database servers of our own, to break."""

from __future__ import annotations

import signal
import subprocess
from abc import ABC, abstractmethod
from collections.abc import Sequence
from contextlib import closing
from pathlib import Path
from types import TracebackType
from typing import Any, ClassVar, Self

from faults.guard import GuardedDirectory
from faults.ports import HOST, ReservedPort
from faults.report import inject
from faults.waiting import wait_until

_PATIENCE = 60.0


class Server(ABC):
    """A server with an empty database cluster, on a port that is its own throughout.

    It is started by `with`, at the end of which nothing is left of it; nor is when this
    process ends in any other way. Nobody needs a password.

    Raises:
        Missing: this machine cannot run one.
    """

    _name: ClassVar[str]
    _owner: ClassVar[str]
    _drivername: ClassVar[str]
    _superuser: ClassVar[str]
    _database: ClassVar[str]
    _connection_error: ClassVar[type[Exception]]

    def __init__(self) -> None:
        self._directory = GuardedDirectory(self._owner)
        self._port = ReservedPort()
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> Self:
        try:
            self._begin()
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    def close(self) -> None:
        """Leave nothing of it."""
        self._directory.close()
        self._port.close()
        self._wait()

    @property
    def port(self) -> int:
        """The port, on this machine's loopback interface."""
        return self._port.number

    @property
    def is_running(self) -> bool:
        """Whether it was started, and has not ended since."""
        return self._process is not None and self._process.poll() is None

    @property
    def address(self) -> str:
        """Host and port."""
        return f"{HOST}:{self._port.number}"

    def url(self, database: str | None = None) -> str:
        """The URL of a database, by default of the one that every server has."""
        return (
            f"{self._drivername}://{self._superuser}@{self.address}"
            f"/{database or self._database}"
        )

    def execute(self, statement: str) -> Sequence[tuple[Any, ...]]:
        """Execute a statement as superuser, in a transaction and connection of its own.

        Returns the rows, if there are any. Raises the driver's own errors.
        """
        # No engine would do: it rolls back, which a Galera node alone does not let it.
        with closing(self._connect()) as connection, connection.cursor() as cursor:
            cursor.execute(statement)
            return cursor.fetchall() if cursor.description else ()

    def start(self) -> None:
        """Start it, wherever it ended, and wait until it is there for clients."""
        self.launch()
        self.wait_until_ready()

    def launch(self) -> None:
        """Start it, without waiting."""
        with self._log.open("ab") as log:
            self._process = self._directory.popen(
                self._command(), stdout=log, stderr=subprocess.STDOUT
            )

    def wait_until_ready(self) -> None:
        """Wait until it is there for clients."""
        assert self._process, f"{self._name} was not started"
        wait_until(self._is_up, f"{self._name} does not get ready")

    def kill(self) -> None:
        """Kill it and all its children, as a crash of the machine would."""
        self._directory.kill_all()
        self._wait()
        inject(f"{self._name} killed")

    @abstractmethod
    def stop(self) -> None:
        """Stop it in order, ending its clients."""

    def _begin(self) -> None:
        """Start it for the first time."""
        self._prepare()
        self.start()

    def _end(self, number: signal.Signals, kind: str) -> None:
        assert self._process, f"{self._name} was not started"
        self._process.send_signal(number)
        self._wait()
        inject(f"{self._name} stopped{kind}")

    def _wait(self) -> None:
        if self._process:
            self._process.wait(_PATIENCE)
            self._process = None

    def _is_up(self) -> bool:
        ended = self._process and self._process.poll()
        assert ended is None, f"{self._name} ended with {ended}: {self._end_of_log}"
        try:
            return self._is_ready()
        except self._connection_error:
            return False

    def _is_ready(self) -> bool:
        """Whether it is there for clients, if they can connect at all."""
        return bool(self.execute("SELECT 1"))

    @property
    def _data(self) -> Path:
        return self._directory.path / "data"

    @property
    def _log(self) -> Path:
        return self._directory.path / "server.log"

    @property
    def _end_of_log(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])

    @abstractmethod
    def _connect(self) -> Any:
        """Connect as superuser, where every statement commits."""

    @abstractmethod
    def _prepare(self) -> None:
        """Create the files."""

    @abstractmethod
    def _command(self) -> Sequence[str | Path]:
        """What to run."""
