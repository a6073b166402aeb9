"""The queue of the processes that write to a file, which SQLite does not have."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock
from time import monotonic

from eventsourcing_alchemy.dialects.sqlite.queue_file import QueueFile
from eventsourcing_alchemy.dialects.sqlite.queue_place import PLACES, TURN, Place
from eventsourcing_alchemy.dialects.sqlite.turn_end import TurnEnd

MISTRUST = 10.0
"""Seconds for which a queue is left alone that stood still while the database was
free."""


class WriterQueue:
    """Lets processes that write to a file take turns, in the order of their coming.

    SQLite has those who find a file locked sleep, for 0.1 s in the end, and look again:
    who is busy starves them. Here they take a place each, by a lock on a byte of a file
    beside the database, and move up. Only the first one tries to lock the database,
    when it hears that a turn has ended, or nobody has written for a moment. Who has had
    its turn queues if somebody waits, and wakes the first one.

    It decides who tries to lock the database, nothing else: whether it is locked says
    SQLite. So it may fail in any way, and does no harm.

    Args:
        database: path of the file.
    """

    def __init__(self, database: str) -> None:
        self._file = QueueFile(database)
        self._turn_ends = 0.0
        self._is_stuck_until = 0.0
        self._stays_open = True
        self._in_use = Lock()

    def end(self) -> None:
        """Has its file closed, from now on after each use, until `begin()`."""
        self._stays_open = False
        if self._in_use.acquire(blocking=False):
            try:
                self._file.close()
            finally:
                self._in_use.release()

    def begin(self) -> None:
        """Has its file stay open again."""
        self._stays_open = True

    def abandon(self) -> None:
        """Forgets, in a forked child, that a thread of the parent waited."""
        self._in_use = Lock()
        self._file.close()
        self._stays_open = True

    def wait(self, attempt: Callable[[], bool], timeout: float) -> float:
        """Waits until it is this process's turn, and what it attempts is over.

        Args:
            attempt: tries to lock the database; False if it is locked.
            timeout: seconds to wait at the most.

        Returns:
            The seconds that are left.
        """
        with self._in_use:
            try:
                return self._wait_for_turn(attempt, timeout)
            finally:
                if not self._stays_open:
                    self._file.close()

    def _wait_for_turn(self, attempt: Callable[[], bool], timeout: float) -> float:
        began = monotonic()
        if began < self._turn_ends and attempt():
            self._file.beat()
            return timeout
        if self._is_somebody_waiting() or not attempt():
            self._wait(attempt, began + timeout)
        now = monotonic()
        self._turn_ends = now + TURN
        return max(0.0, began + timeout - now)

    def _wait(self, attempt: Callable[[], bool], deadline: float) -> None:
        with self._place() as place:
            if place is not None:
                while not place.tries(monotonic()) or not attempt():
                    if monotonic() > deadline:
                        return
                    place.wait()
                if not place.is_first:
                    self._is_stuck_until = monotonic() + MISTRUST

    @contextmanager
    def _place(self) -> Iterator[Place | None]:
        """The last place in the queue; None where there can be no queue."""
        if not self._file.open(create=True) or monotonic() < self._is_stuck_until:
            yield None
            return
        turn_end = TurnEnd(self._file.descriptor)
        if self._turn_ends:
            turn_end.announce()
        try:
            with turn_end.listening():
                yield Place(self._file, turn_end)
        finally:
            self._file.unlock(0, PLACES)

    def _is_somebody_waiting(self) -> bool:
        if not self._file.open() or monotonic() < self._is_stuck_until:
            return False
        try:
            return not self._file.lock(0, PLACES)
        finally:
            self._file.unlock(0, PLACES)
