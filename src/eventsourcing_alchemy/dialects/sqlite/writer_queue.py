"""The queue of the processes that write to a file, which SQLite does not have."""

import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from time import monotonic, monotonic_ns, sleep

from eventsourcing_alchemy.dialects.sqlite.turn_end import TurnEnd

try:
    import fcntl
except ImportError:  # Not on Windows.
    fcntl = None  # type: ignore[assignment]

TURN = 0.005
"""Seconds in which a process that has written may do so again without queueing: it
finds the pages that it needs in memory."""

PLACES = 32
"""In the queue; who finds it full waits for the last place."""

SUFFIX = "-queue"
"""Of the name of the file, after that of the database."""

FIRST_LOOKS, OTHERS_LOOK = 0.0003, 0.002
"""Seconds between two looks of those who wait. Looks slow down who writes."""

REST = 0.0005
"""Seconds without a transaction after which a turn is over, as if it had been ended."""

PATIENCE = 0.2
"""Seconds of a standstill after which one who is not the first looks, once: the first
one may be stopped, by a debugger say."""

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
    SQLite. So it may fail in any way, and does no harm. The locks are POSIX's: they end
    with their process, however that ends, and no child inherits them.

    Args:
        database: path of the file.
    """

    def __init__(self, database: str) -> None:
        self._path = database + SUFFIX
        self._database = Path(database)
        self._file: int | None = None
        self._turn_ends = 0.0
        self._is_stuck_until = 0.0

    def close(self) -> None:
        """Closes its file."""
        file, self._file = self._file, None
        if file is not None:
            os.close(file)

    def wait(self, attempt: Callable[[], bool], timeout: float) -> float:
        """Waits until it is this process's turn, and what it attempts is over.

        Args:
            attempt: tries to lock the database; False if it is locked.
            timeout: seconds to wait at the most.

        Returns:
            The seconds that are left.
        """
        began = monotonic()
        if began < self._turn_ends and attempt():
            self._beat()
            return timeout
        if self._is_somebody_waiting() or not attempt():
            self._wait(attempt, began + timeout)
        now = monotonic()
        self._turn_ends = now + TURN
        return max(0.0, began + timeout - now)

    def _wait(self, attempt: Callable[[], bool], deadline: float) -> None:
        with self._place() as place:
            if place is not None:
                if self._turn_ends:
                    place.end_turn()
                while not place.tries(monotonic()) or not attempt():
                    if monotonic() > deadline:
                        return
                    place.wait()
                if not place.is_first:
                    self._is_stuck_until = monotonic() + MISTRUST

    @contextmanager
    def _place(self) -> Iterator["Place | None"]:
        """The last place in the queue; None where there can be no queue."""
        self._close_deleted()
        file = self._opened(os.O_CREAT)
        if file is None or monotonic() < self._is_stuck_until:
            yield None
            return
        try:
            turn_end = TurnEnd(file)
            with turn_end.listening():
                yield Place(file, turn_end)
        finally:
            _unlock(file)

    def _beat(self) -> None:
        """Shows the first one that the turn goes on.

        To look at the log would slow down the commits: a file system dates each write
        exactly, once somebody has asked for the date of the last one.
        """
        if self._file is not None:
            with suppress(OSError):
                os.pwrite(self._file, monotonic_ns().to_bytes(8), 0)

    def _is_somebody_waiting(self) -> bool:
        file = self._opened()
        if file is None or monotonic() < self._is_stuck_until:
            return False
        if _lock(file, 0, PLACES):
            _unlock(file)
            return False
        return True

    def _close_deleted(self) -> None:
        if self._file is not None and not os.fstat(self._file).st_nlink:
            self.close()

    def _opened(self, flags: int = 0) -> int | None:
        """The file; None if it is not there, or cannot be."""
        if self._file is None and fcntl is not None:
            with suppress(OSError):
                mode = self._database.stat().st_mode & 0o666
                self._file = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | flags, mode)
        return self._file


class Place:
    """A place in the queue.

    Args:
        file: whose bytes are the places.
        turn_end: tells the first one that a turn has ended.
    """

    def __init__(self, file: int, turn_end: TurnEnd) -> None:
        self._file = file
        self._turn_end = turn_end
        self._has_ended = False
        self._number = PLACES  # It has none yet.
        self._moved = 0.0
        self._beat = b""
        self._rests_from = 0.0

    @property
    def is_first(self) -> bool:
        """Whether nobody is before it."""
        return self._number == 0

    def tries(self, now: float) -> bool:
        """Moves up as far as it can, and tells whether to try to lock the database.

        Args:
            now: by the monotonic clock.
        """
        if self._moves_up():
            self._moved = now
            if self.is_first:
                self._turn_end.listen()
        if self.is_first:
            is_over = self._has_ended or now > self._moved + TURN
            return is_over or self._is_at_rest(now)
        if now < self._moved + PATIENCE:
            return False
        self._moved = now
        return True

    def wait(self) -> None:
        """Waits until there may be something to see."""
        if self.is_first:
            self._has_ended = self._turn_end.wait(REST, otherwise=FIRST_LOOKS)
        else:
            sleep(OTHERS_LOOK)

    def end_turn(self) -> None:
        """Lets the first one know that this process has had its turn."""
        self._turn_end.announce()

    def _moves_up(self) -> bool:
        before = self._number
        while self._number > 0 and _lock(self._file, self._number - 1):
            if self._number < PLACES:
                _unlock(self._file, self._number, 1)
            self._number -= 1
        return self._number < before or not self._moved

    def _is_at_rest(self, now: float) -> bool:
        """Whether nobody has begun a transaction for a moment."""
        before = self._beat
        with suppress(OSError):
            self._beat = os.pread(self._file, 8, 0)
        if self._beat != before:
            self._rests_from = now
        return now > self._rests_from + REST


def _lock(file: int, start: int, length: int = 1) -> bool:
    try:
        fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
    except OSError:
        return False
    return True


def _unlock(file: int, start: int = 0, length: int = PLACES) -> None:
    with suppress(OSError):
        fcntl.lockf(file, fcntl.LOCK_UN, length, start)
