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

_ABANDONED = "The thread that appended these events was interrupted"

Append = Callable[[Sequence[StoredEvent]], int]
"""Stores events, and returns the position of the last one."""


LONGEST_WAIT = 0.1
"""Seconds until a thread looks again whether it is its turn: the safety net for a hint
that an interrupt has lost."""


class Request:
    """What one thread wants to append.

    Attributes:
        events: to append.
        turn: number of the turn in which it was taken; None as long as it was not.
        is_shared: whether others were taken in that turn.
        last: position of the last event, when they are stored.
        error: why they are not; of the thread that appended them.
        hint: is released when there may be an outcome, or when it may be its turn.

    A request that was taken has neither `last` nor `error` if its leader was
    interrupted.
    """

    __slots__ = ("error", "events", "hint", "is_shared", "last", "turn")

    def __init__(self, events: Sequence[StoredEvent]) -> None:
        self.events = events
        self.turn: int | None = None
        self.is_shared = False
        self.last: int | None = None
        self.error: Exception | None = None
        self.hint = Lock()
        self.hint.acquire()

    def wake(self) -> None:
        """Lets its thread look again."""
        with suppress(RuntimeError):  # It has been woken before.
            self.hint.release()


class GroupCommit:
    """The queue of those who append to one application, in this process.

    Who comes while nobody appends does so at once. Those who come meanwhile wait, and
    the first of them appends for all: one transaction, one commit. Each gets its own
    positions, or its own error.

    Whose turn it is says the queue, and a lock that a thread gives back whatever
    interrupts it; being woken is a hint.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: BaseDialect) -> None:
        self._dialect = dialect
        self._queue: deque[Request] = deque()
        self._leading = Lock()
        self._turn = 0
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
        leads = has_waited_in_vain = False
        try:
            self._join(request)
            while not self._is_over(request):
                if self._may_lead(request, has_waited_in_vain):
                    with self._leading:
                        if request.turn is None:
                            leads = True
                            self._lead(append)
                else:
                    is_woken = request.hint.acquire(timeout=LONGEST_WAIT)
                    has_waited_in_vain = not is_woken
        finally:
            if request.turn is None:  # It was interrupted.
                self._leave(request)
                self._wake_next()
            elif leads:
                self._wake_next()
        return self._outcome(request, append, leads)

    def _join(self, request: Request) -> None:
        self._queue.append(request)

    def _leave(self, request: Request) -> None:
        with suppress(ValueError):
            self._queue.remove(request)

    def _wake_next(self) -> None:
        with suppress(IndexError):
            self._queue[0].wake()

    def _may_lead(self, request: Request, has_waited_in_vain: bool) -> bool:
        if request.turn is not None or self._leading.locked():
            return False
        # The thread of the first one may be gone, interrupted while it left.
        return has_waited_in_vain or self._is_first(request)

    def _is_first(self, request: Request) -> bool:
        try:
            return self._queue[0] is request
        except IndexError:  # It is being taken.
            return False

    def _is_over(self, request: Request) -> bool:
        if request.last is not None or request.error is not None:
            return True
        if request.turn is None:
            return False
        # Otherwise the leader has left without a word.
        return request.turn != self._turn or not self._leading.locked()

    def _lead(self, append: Append) -> None:
        self._turn += 1
        group = self._take_group()
        try:
            last = append([event for each in group for event in each.events])
        except Exception as error:
            for each in group:
                each.error = error
        else:
            for each in reversed(group):
                each.last = last
                last -= len(each.events)
        finally:
            for each in group:
                each.wake()

    def _take_group(self) -> Sequence[Request]:
        group: list[Request] = []
        while self._queue:
            first = self._queue[0]
            # One that is taken already was left here by a leader that was interrupted.
            if first.turn is None:
                if group and _is_too_large([*group, first]):
                    break
                first.turn = self._turn
                group.append(first)
            self._leave(first)
        for each in group:
            each.is_shared = len(group) > 1
        return group

    def _outcome(self, request: Request, append: Append, leads: bool) -> int:
        error = request.error
        if request.last is not None:
            return request.last
        if error is None:
            raise AbandonedError(_ABANDONED)
        if request.is_shared and self._may_be_of_another(error):
            return append(request.events)
        if leads:
            raise error
        raise _retold(error) from error

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
    return AbandonedError(_ABANDONED)
