"""Group commit: threads that append at the same time share a transaction."""

from collections.abc import Callable, Sequence
from contextlib import suppress
from sys import getsizeof
from threading import Lock, get_ident

from eventsourcing.persistence import PersistenceError, StoredEvent

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import AbandonedError
from eventsourcing_alchemy.faults import Fault, fault_of

LARGEST_GROUP = 500
"""Events in a group, at the most; who brings as many alone does not share."""

LARGEST_GROUP_BYTES = 2**20
"""The same for their states. A database may refuse, or not survive, too much at once,
and the others are not to hear of it."""

Append = Callable[[Sequence[StoredEvent]], int]
"""Stores events, and returns the position of the last one."""


class Request:
    """What one thread wants to append.

    Attributes:
        events: to append.
        last: position of the last of them, when they are stored.
        error: why they are not; of the thread that appended them.
        is_done: whether there is an outcome.
        group: the requests it leads, itself among them; none if it does not lead.
        turn: is released when there is an outcome, or when it is to lead.
    """

    __slots__ = ("error", "events", "group", "is_done", "last", "turn")

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.events = events
        self.last = 0
        self.error: BaseException | None = None
        self.is_done = False
        self.group: Sequence[Request] = ()
        self.turn = Lock()
        self.turn.acquire()

    def size(self) -> int:
        """Bytes in the states, about."""
        return sum([getsizeof(event.state) for event in self.events])

    def go_on(self) -> None:
        """Ends its wait, if that has not ended before."""
        with suppress(RuntimeError):
            self.turn.release()


class GroupCommit:
    """The queue of those who append to one application, in this process.

    Who comes while nobody appends does so at once. Those who come meanwhile wait, and
    the first of them appends for all: one transaction, one commit. Each gets its own
    positions, or its own error.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: BaseDialect) -> None:
        self._dialect = dialect
        self._lock = Lock()
        self._queue: Sequence[Request] = ()
        self._leader: Request | None = None
        self._threads: set[int] = set()

    def append(self, events: Sequence[StoredEvent], append: Append) -> int:
        """Stores events, all or none.

        Args:
            events: to store.
            append: stores events in one transaction, for others as well.

        Returns:
            The position of the last event; the others precede it without a gap.

        Raises:
            Exception: what `append()` raised for these events.
        """
        thread = get_ident()
        if thread in self._threads:
            # A signal handler, which would wait for what it has interrupted.
            return append(events)
        try:
            self._threads.add(thread)
            return self._append(Request(events), append)
        finally:
            self._threads.discard(thread)

    def _append(self, request: Request, append: Append) -> int:
        try:
            self._join(request)
            request.turn.acquire()
            if not request.is_done:
                self._lead(request, append)
                self._finish(request)
        except BaseException as error:
            is_shared = len(request.group) > 1
            self._finish(request, error)
            if not (is_shared and self._may_be_of_another(error)):
                raise
            return append(request.events)
        if request.error is None:
            return request.last
        if self._may_be_of_another(request.error):
            return append(request.events)
        raise _retold(request.error) from request.error

    def _join(self, request: Request) -> None:
        with self._lock:
            self._queue = [*self._queue, request]
            if self._leader is None:
                self._hand_over()

    def _hand_over(self) -> None:
        self._leader = self._queue[0] if self._queue else None
        if self._leader is not None:
            self._leader.go_on()

    def _lead(self, leader: Request, append: Append) -> None:
        self._take_group(leader)
        last = append([event for each in leader.group for event in each.events])
        for each in reversed(leader.group):
            each.last = last
            each.is_done = True
            last -= len(each.events)

    def _take_group(self, leader: Request) -> None:
        with self._lock:
            end = self._end_of_group() if len(self._queue) > 1 else 1
            # At once, for a signal handler that raises.
            leader.group, self._queue = self._queue[:end], self._queue[end:]

    def _end_of_group(self) -> int:
        count = size = 0
        for end, each in enumerate(self._queue):
            count += len(each.events)
            size += each.size()
            if end and (count > LARGEST_GROUP or size > LARGEST_GROUP_BYTES):
                return end
        return len(self._queue)

    def _finish(self, request: Request, error: BaseException | None = None) -> None:
        """Leaves nobody waiting who has waited for this one.

        May be called again: where a signal handler raises, this may be half done.
        """
        with self._lock:
            self._queue = [each for each in self._queue if each is not request]
            if self._leader is None or self._leader is request:
                self._hand_over()
            else:
                self._leader.go_on()
        for each in request.group:
            if not each.is_done:
                each.error = error
                each.is_done = True
            each.go_on()
        request.group = ()

    def _may_be_of_another(self, error: BaseException) -> bool:
        """Whether it is about the events of one, and nothing is stored for certain."""
        return isinstance(error, PersistenceError) and fault_of(
            error, self._dialect
        ) in {Fault.LASTING, Fault.CANCELLED}


def _retold(error: BaseException) -> BaseException:
    if isinstance(error, PersistenceError):
        return type(error)(*error.args)
    # Of the thread that led, such as KeyboardInterrupt.
    return AbandonedError("The thread that appended these events was interrupted")
