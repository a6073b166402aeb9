"""Sees the end of transactions in the answers that PyMySQL's cursors get."""

import re
from contextlib import suppress
from functools import cache
from threading import get_ident
from typing import TYPE_CHECKING, Any

from eventsourcing_alchemy.dialects.base.marks import Mark
from eventsourcing_alchemy.dialects.base.transactions import (
    BEFORE_A_STATEMENT,
    ENDS_TRANSACTIONS,
)

if TYPE_CHECKING:
    from pymysql import Connection
    from pymysql.cursors import Cursor
else:
    Connection = Cursor = object  # PyMySQL is not a dependency.

_ENDS = "eventsourcing_alchemy_ends"
"""An attribute of the driver's connection."""

_SERVER_STATUS_IN_TRANS = 1

_PROGRAM = re.compile(
    BEFORE_A_STATEMENT + r"(?:CALL|EXECUTE|BEGIN\s+NOT\s+ATOMIC|IF|CASE|LOOP|WHILE|FOR"
    r"|REPEAT)\b",
    re.IGNORECASE | re.DOTALL,
)
"""What may execute several statements, and answers when the last one is done."""

LONGEST_BEGINNING = 1000
"""Characters in which a statement says what it does, behind its comments."""

_SAVEPOINT = "eventsourcing_alchemy_program"


class _Ends:
    """How many transactions of a session have ended.

    Each answer of the server to a statement says whether there is one.

    Attributes:
        count: of them.
        used_by: the thread that is executing a statement; None for none.
        is_in_doubt: whether a program may have ended one, and begun another.
    """

    def __init__(self, driver_connection: Any) -> None:
        self.count = 0
        self.is_in_doubt = False
        self.used_by: int | None = None
        self._driver_connection = driver_connection
        self._is_open = False

    def look(self) -> None:
        """Takes note of the last answer."""
        status = self._driver_connection.server_status
        is_open = bool(status & _SERVER_STATUS_IN_TRANS)
        if self._is_open and not is_open:
            self.count += 1
        self._is_open = is_open

    def begin_another(self) -> None:
        """Takes note that one may begin, which is not the one that is open."""
        self.look()
        self.count += self._is_open

    def ask(self) -> None:
        """Asks the server, because errors do not say it."""
        with suppress(Exception):  # Of a lost connection.
            self._driver_connection.ping(reconnect=False)
        self.look()


class WatchingCursor(Cursor):
    """Looks at each answer."""

    def execute(self, query: str, args: Any = None) -> int:
        """Executes a statement."""
        self.clear_doubt()
        beginning = _beginning(query)
        if _PROGRAM.match(beginning):
            self._begin_doubt()
        elif ENDS_TRANSACTIONS.match(beginning):
            self._ends.begin_another()
        count: int = self._watched(super().execute, query, args)
        return count

    def nextset(self) -> bool | None:
        """Goes on to the answer to the next statement of the same string."""
        found: bool | None = super().nextset()
        if found:
            self._ends.look()
        return found

    def callproc(self, procname: str, args: Any = ()) -> Any:
        """Calls a procedure."""
        self.clear_doubt()
        self._begin_doubt()
        return self._watched(super().callproc, procname, args)

    @property
    def _ends(self) -> _Ends:
        # A closed cursor has no connection, and raises an error by itself.
        ends: _Ends | None = getattr(self.connection, _ENDS, None)
        return ends or _Ends(self.connection)

    def _begin_doubt(self) -> None:
        super().execute(f"SAVEPOINT {_SAVEPOINT}")
        self._ends.is_in_doubt = True

    def clear_doubt(self) -> None:
        """Asks whether a program has ended the transaction."""
        ends = self._ends
        if not ends.is_in_doubt:
            return
        ends.is_in_doubt = False
        try:
            super().execute(f"RELEASE SAVEPOINT {_SAVEPOINT}")
        except self.connection.Error:
            ends.count += 1

    def _watched(self, execute: Any, *args: Any) -> Any:
        ends = self._ends
        ends.look()
        ends.used_by = get_ident()
        try:
            result = execute(*args)
        except Exception:
            ends.ask()
            raise
        finally:
            ends.used_by = None
        ends.look()
        return result


class WatchingConnection(Connection):
    """Has cursors of every class look."""

    def begin(self) -> None:
        """Begins a transaction."""
        getattr(self, _ENDS).begin_another()
        super().begin()

    def cursor(self, cursor: Any = None) -> Any:
        """A cursor of a class, or of the usual one."""
        if isinstance(cursor, type) and not issubclass(cursor, WatchingCursor):
            of_class: type = cursor
            cursor = _watching(WatchingCursor, of_class)
        return super().cursor(cursor)


def _beginning(query: str | bytes | bytearray) -> str:
    """The first characters, of which there may be many in an `executemany()`."""
    beginning = query[:LONGEST_BEGINNING]
    return beginning if isinstance(beginning, str) else beginning.decode("latin-1")


def watch_transactions(driver_connection: Any, _: object) -> None:
    """Has the cursors of a connection look, if it is one of PyMySQL."""
    is_of_pymysql = hasattr(driver_connection, "cursorclass") and hasattr(
        driver_connection, "server_status"
    )
    if is_of_pymysql and not hasattr(driver_connection, _ENDS):
        setattr(driver_connection, _ENDS, _Ends(driver_connection))
        cursor: type = driver_connection.cursorclass
        of_class: type = type(driver_connection)
        driver_connection.cursorclass = _watching(WatchingCursor, cursor)
        driver_connection.__class__ = _watching(WatchingConnection, of_class)


@cache
def _watching(looks: type, of_class: type) -> type:
    return type(f"Watching{of_class.__name__}", (looks, of_class), {})


def mark_of(driver_connection: Any) -> Mark | None:
    """Of the transaction of a connection, None where its cursors do not look."""
    ends = getattr(driver_connection, _ENDS, None)
    return None if ends is None else _EndsMark(driver_connection, ends)


class _EndsMark(Mark):
    """The number of transactions that ended before."""

    def __init__(self, driver_connection: Any, ends: _Ends) -> None:
        self._driver_connection = driver_connection
        self._ends = ends
        ends.look()
        self._before = ends.count

    def is_busy(self) -> bool:
        """Whether the calling thread waits for an answer to another statement."""
        return self._ends.used_by == get_ident()

    def has_ended(self) -> bool:
        """Whether there are more now; asks the server after a program."""
        if self._ends.is_in_doubt:
            self._driver_connection.cursor().clear_doubt()
        self._ends.look()
        return self._ends.count != self._before
