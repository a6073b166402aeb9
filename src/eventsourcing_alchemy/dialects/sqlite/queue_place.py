"""A place in the queue of the processes that write to a file."""

from time import sleep

from eventsourcing_alchemy.dialects.sqlite.queue_file import QueueFile
from eventsourcing_alchemy.dialects.sqlite.turn_end import TurnEnd

TURN = 0.005
"""Seconds in which a process that has written may do so again without queueing: it
finds the pages that it needs in memory."""

PLACES = 32
"""In the queue; who finds it full waits for the last place."""

FIRST_LOOKS, OTHERS_LOOK = 0.0003, 0.002
"""Seconds between two looks of those who wait. Looks slow down who writes."""

REST = 0.0005
"""Seconds without a transaction after which a turn is over, as if it had been ended."""

PATIENCE = 0.2
"""Seconds of a standstill after which one who is not the first looks, once: the first
one may be stopped, by a debugger say."""


class Place:
    """A place in the queue.

    Args:
        file: whose bytes are the places.
        turn_end: tells the first one that a turn has ended.
    """

    def __init__(self, file: QueueFile, turn_end: TurnEnd) -> None:
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

    def _moves_up(self) -> bool:
        before = self._number
        while self._number > 0 and self._file.lock(self._number - 1):
            if self._number < PLACES:
                self._file.unlock(self._number)
            self._number -= 1
        return self._number < before or not self._moved

    def _is_at_rest(self, now: float) -> bool:
        """Whether nobody has begun a transaction for a moment."""
        before, self._beat = self._beat, self._file.last_beat()
        if self._beat != before:
            self._rests_from = now
        return now > self._rests_from + REST
