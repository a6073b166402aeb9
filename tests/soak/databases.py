"""The databases, and how each can be made to fail."""

from __future__ import annotations

import sqlite3
import tempfile
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing, suppress
from pathlib import Path
from random import Random
from time import sleep
from types import TracebackType
from typing import ClassVar, Self

from faults.mariadb import MariaDBServer
from faults.postgresql import PostgreSQLServer
from faults.proxy import Proxy
from faults.report import inject
from faults.servers import Server

ErrorKind = Callable[[Random], None]
"""Breaks something, and returns when it is whole again."""

LOCK_TIMEOUT = 2.0

ANSWER_TIMEOUT = 1.0


class Database(ABC):
    """An empty database of our own, from `with` on.

    Attributes:
        name: for people.
        url: leads there whatever happens.
        urls: for clients, in turn.
        faults: by kind.
    """

    name: ClassVar[str]
    url: str
    urls: Sequence[str]
    faults: Mapping[str, ErrorKind]

    def __init__(self) -> None:
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._begin(stack)
            self._stack = stack.pop_all()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()

    @abstractmethod
    def _begin(self, stack: ExitStack) -> None:
        """Start it."""


class SQLiteFile(Database):
    """Has no server. Somebody else may keep it locked."""

    name = "sqlite"

    def _begin(self, stack: ExitStack) -> None:
        folder = stack.enter_context(tempfile.TemporaryDirectory(prefix="es-soak-"))
        self._path = Path(folder) / "soak.db"
        self.url = f"sqlite:///{self._path}"
        self.urls = [self.url]
        self.faults = {"lock": self._lock}

    def _lock(self, random: Random) -> None:
        with closing(sqlite3.connect(self._path, timeout=30)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            sleep(random.uniform(0.5, 1.5) * LOCK_TIMEOUT)
        inject("lock held")


class ServerDatabase(Database):
    """Has a server of our own, which half of the clients reach through a proxy."""

    _server: Server

    def _begin(self, stack: ExitStack) -> None:
        stack.enter_context(self._server)
        self._server.execute("CREATE DATABASE soak")
        self.url = self._server.url("soak")
        proxy = stack.enter_context(Proxy(self.url))
        self.urls = [self.url, proxy.url]
        self.faults = {
            "cut": lambda _: proxy.cut(),
            "reset": lambda _: proxy.reset(),
            "stall": lambda random: _hold(proxy.stall, proxy.heal, random),
            "refuse": lambda random: _hold(proxy.refuse, proxy.heal, random),
            "terminate": self._terminate,
            "restart": self._restart,
        }

    def _terminate(self, random: Random) -> None:
        for (session,) in self._server.execute(self._sessions):
            if random.random() < 0.5:
                # It may have ended by itself.
                with suppress(Exception):
                    self._server.execute(self._end.format(session))
        inject("sessions ended")

    def _restart(self, random: Random) -> None:
        self._crash()
        sleep(random.uniform(0, 1))
        self._server.start()

    _sessions: ClassVar[str]
    _end: ClassVar[str]

    @abstractmethod
    def _crash(self) -> None:
        """End the server as abruptly as it can be."""


def _hold(begin: Callable[[], None], end: Callable[[], None], random: Random) -> None:
    begin()
    sleep(random.uniform(0.1, 2 * ANSWER_TIMEOUT))
    end()


class PostgreSQL(ServerDatabase):
    """Stopped without a checkpoint."""

    name = "postgresql"
    _sessions = "SELECT pid FROM pg_stat_activity WHERE datname = 'soak'"
    _end = "SELECT pg_terminate_backend({})"

    def __init__(self) -> None:
        super().__init__()
        self._server: PostgreSQLServer = PostgreSQLServer()

    def _crash(self) -> None:
        self._server.stop("immediate")


class MariaDB(ServerDatabase):
    """Killed."""

    name = "mariadb"
    _sessions = "SELECT id FROM information_schema.processlist WHERE db = 'soak'"
    _end = "KILL {}"

    def __init__(self) -> None:
        super().__init__()
        self._server = MariaDBServer()

    def _crash(self) -> None:
        self._server.kill()


DATABASES: Mapping[str, type[Database]] = {
    each.name: each for each in (SQLiteFile, PostgreSQL, MariaDB)
}
