"""Group commit: threads that append at the same time share a transaction."""

from collections import deque
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
        is_taken: whether a leader has taken it into a group.
        is_shared: whether others are in that group.
        last: position of the last event, when they are stored.
        error: why they are not; of the thread that appended them.

    A request that was taken has neither `last` nor `error` if its leader was
    interrupted.
    """

    __slots__ = ("error", "events", "is_shared", "is_taken", "last")

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.events = events
        self.is_taken = False
        self.is_shared = False
        self.last: int | None = None
        self.error: Exception | None = None


class GroupCommit:
    """The queue of those who append to one application, in this process.

    Each joins the queue and waits for its turn to lead. The leader takes those who
    joined meanwhile, and appends for all: one transaction, one commit. Whoever finds
    its request taken has nothing left to do. Each gets its own positions, or its own
    error. Turns are taken by a lock, which a thread gives back whatever interrupts it.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: BaseDialect) -> None:
        self._dialect = dialect
        self._queue: deque[Request] = deque()
        self._turn = Lock()
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
        leads = False
        try:
            self._join(request)
            with self._turn:
                while not request.is_taken:
                    leads = True
                    self._lead(append)
        except BaseException:
            self._leave(request)
            raise
        if request.last is not None:
            return request.last
        if request.error is None:
            msg = "The thread that appended these events was interrupted"
            raise AbandonedError(msg)
        if request.is_shared and self._may_be_of_another(request.error):
            return append(request.events)
        if leads:
            raise request.error
        raise _retold(request.error) from request.error

    def _join(self, request: Request) -> None:
        self._queue.append(request)

    def _leave(self, request: Request) -> None:
        with suppress(ValueError):
            self._queue.remove(request)

    def _lead(self, append: Append) -> None:
        group = self._take_group()
        try:
            last = append([event for each in group for event in each.events])
        except Exception as error:
            for each in group:
                each.error = error
            return
        for each in reversed(group):
            each.last = last
            last -= len(each.events)

    def _take_group(self) -> Sequence[Request]:
        group: list[Request] = []
        while self._queue:
            first = self._queue[0]
            # One that is taken already was left here by a leader that was interrupted.
            if not first.is_taken:
                if group and _is_too_large([*group, first]):
                    break
                first.is_taken = True
                group.append(first)
            self._leave(first)
        for each in group:
            each.is_shared = len(group) > 1
        return group

    def _may_be_of_another(self, error: BaseException) -> bool:
        """Whether it is about the events of one, and nothing is stored for certain."""
        return isinstance(error, PersistenceError) and fault_of(
            error, self._dialect
        ) in {Fault.LASTING, Fault.CANCELLED}


def _is_too_large(group: Sequence[Request]) -> bool:
    states = [event.state for each in group for event in each.events]
    return len(states) > LARGEST_GROUP or sum(map(getsizeof, states)) > (
        LARGEST_GROUP_BYTES
    )


def _retold(error: Exception) -> Exception:
    if isinstance(error, PersistenceError):
        return type(error)(*error.args)
    return AbandonedError("The thread that appended these events was interrupted")
