"""Group commit: threads that append at the same time share a transaction."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from itertools import accumulate
from threading import Lock, get_ident
from time import sleep
from typing import Generic, NamedTuple, TypeVar

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.errors import AbandonedError
from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)

LARGEST_GROUP = 500
"""Events in a group, at the most; who brings as many alone does not share."""

LARGEST_GROUP_BYTES = 2**20
"""The same for their states. A database may refuse, or not survive, too much at once,
and the others are not to hear of it."""

_ABANDONED = "The thread that appended these events was interrupted"

W = TypeVar("W")

Outcome = int | Exception
"""The position of the last event of a request, or why it alone is refused."""

Append = Callable[[Sequence[W]], Sequence[Outcome]]
"""Stores the events of requests in one transaction; raises what is wrong with all."""


class Size(NamedTuple):
    """How much a request stores."""

    events: int
    bytes: int


LONGEST_WAIT = 0.1
"""Seconds until a thread looks again whether it is its turn: the safety net for a hint
that an interrupt has lost."""

GATHERING = 0.0001
"""Seconds in which the threads of a shared transaction come back, before the first of
them leads again: otherwise it would append alone, and the others wait for it."""

SizeOf = Callable[[W], Size]


class Request(Generic[W]):
    """What one thread wants to append.

    Attributes:
        work: its events.
        size: tells how much they are.
        turn: number of the turn in which it was taken; None as long as it was not.
        is_shared: whether others were taken in that turn.
        last: position of the last event, when they are stored.
        error: why they are not; of the thread that appended them.
        hint: is released when there may be an outcome, or when it may be its turn.

    A request that was taken has neither `last` nor `error` if its leader was
    interrupted.
    """

    __slots__ = ("error", "hint", "is_shared", "last", "size", "turn", "work")

    def __init__(self, work: W, size: SizeOf[W]) -> None:
        self.work = work
        self.size = size
        self.turn: int | None = None
        self.is_shared = False
        self.last: int | None = None
        self.error: Exception | None = None
        self.hint = Lock()
        self.hint.acquire()

    def end(self, outcome: Outcome) -> None:
        """Tells what has become of it."""
        if isinstance(outcome, Exception):
            self.is_shared = False  # It is about nobody else.
            self.error = outcome
        else:
            self.last = outcome

    def wake(self) -> None:
        """Lets its thread look again."""
        with suppress(RuntimeError):  # It has been woken before.
            self.hint.release()


class GroupCommit(Generic[W]):
    """The queue of those who append to one application, in this process.

    Who comes while nobody appends does so at once. Those who come meanwhile wait, and
    the first of them appends for all: one transaction, one commit. Each gets its own
    positions, or its own error. As long as they share, the first one waits a moment for
    the others.

    Whose turn it is says the queue, and a lock that a thread gives back whatever
    interrupts it; being woken is a hint.

    Args:
        dialect: of the database.
    """

    def __init__(self, dialect: BaseDialect) -> None:
        self._dialect = dialect
        self._queue: deque[Request[W]] = deque()
        self._leading = Lock()
        self._turn = 0
        self._threads: set[int] = set()
        self._was_shared = False

    def append(self, work: W, size: SizeOf[W], append: Append[W]) -> int:
        """Stores events, all or none.

        Args:
            work: the events.
            size: tells how much they are.
            append: stores them in one transaction, and those of others as well.

        Returns:
            The position of the last event; the others precede it without a gap.

        Raises:
            Exception: what `append()` raised for these events.
        """
        thread = get_ident()
        if thread in self._threads:
            # A signal handler, which would wait for what it has interrupted.
            return _alone(work, append)
        leads = False
        try:
            self._threads.add(thread)
            if not self._was_shared and not self._queue and not self._leading.locked():
                leads = True
                with self._leading:
                    last = self._lead_nobody(work, append)
                # Not inside: an interrupt at that moment would keep the lock.
                return last  # noqa: RET504
            return self._append(Request(work, size), append)
        finally:
            if leads:
                self._wake_next()
            self._threads.discard(thread)

    def _lead_nobody(self, work: W, append: Append[W]) -> int:
        instrumentation.observer.committed_together(1)
        return _alone(work, append)

    def _append(self, request: Request[W], append: Append[W]) -> int:
        leads = has_waited_in_vain = False
        try:
            self._join(request)
            while not self._is_over(request):
                if self._may_lead(request, has_waited_in_vain):
                    with self._leading:
                        if self._was_shared:
                            sleep(GATHERING)
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

    def _join(self, request: Request[W]) -> None:
        self._queue.append(request)

    def _leave(self, request: Request[W]) -> None:
        with suppress(ValueError):
            self._queue.remove(request)

    def _wake_next(self) -> None:
        if self._queue:
            with suppress(IndexError):
                self._queue[0].wake()

    def _may_lead(self, request: Request[W], has_waited_in_vain: bool) -> bool:
        if request.turn is not None or self._leading.locked():
            return False
        # The thread of the first one may be gone, interrupted while it left.
        return has_waited_in_vain or self._is_first(request)

    def _is_first(self, request: Request[W]) -> bool:
        try:
            return self._queue[0] is request
        except IndexError:  # It is being taken.
            return False

    def _is_over(self, request: Request[W]) -> bool:
        if request.last is not None or request.error is not None:
            return True
        if request.turn is None:
            return False
        # Otherwise the leader has left without a word.
        return request.turn != self._turn or not self._leading.locked()

    def _lead(self, append: Append[W]) -> None:
        self._turn += 1
        group = self._take_group()
        instrumentation.observer.committed_together(len(group))
        try:
            outcomes = append([each.work for each in group])
        except Exception as error:
            for each in group:
                each.error = error
        else:
            for each, outcome in zip(group, outcomes, strict=True):
                each.end(outcome)
        finally:
            for each in group:
                each.wake()

    def _take_group(self) -> Sequence[Request[W]]:
        group: list[Request[W]] = []
        while self._queue:
            first = self._queue[0]
            # One that is taken already was left here by a leader that was interrupted.
            if first.turn is None:
                if group and _is_too_large([*group, first]):
                    break
                first.turn = self._turn
                group.append(first)
            self._leave(first)
        self._was_shared = len(group) > 1
        for each in group:
            each.is_shared = self._was_shared
        return group

    def _outcome(self, request: Request[W], append: Append[W], leads: bool) -> int:
        error = request.error
        if request.last is not None:
            return request.last
        if error is None:
            raise AbandonedError(_ABANDONED)
        if request.is_shared and self._may_be_of_another(error):
            return _alone(request.work, append)
        if leads:
            raise error
        raise _retold(error) from error

    def _may_be_of_another(self, error: BaseException) -> bool:
        """Whether it is about the events of one, and nothing is stored for certain."""
        return isinstance(error, PersistenceError) and error_kind_of(
            error, self._dialect
        ) not in {ErrorKind.CONFLICT, ErrorKind.OUTAGE}


def _is_too_large(group: Sequence[Request[W]]) -> bool:
    events, size = map(sum, zip(*(each.size(each.work) for each in group), strict=True))
    return events > LARGEST_GROUP or size > LARGEST_GROUP_BYTES


def _alone(work: W, append: Append[W]) -> int:
    (outcome,) = append([work])
    if isinstance(outcome, Exception):
        raise outcome
    return outcome


def _retold(error: Exception) -> Exception:
    if isinstance(error, PersistenceError):
        return type(error)(*error.args)
    return AbandonedError(_ABANDONED)


def last_positions(last: int, group: Sequence[Sequence[object]]) -> Sequence[int]:
    """The last position of each request of a group.

    Args:
        last: of the group, whose positions have no gaps.
        group: the events of each request, in their order.
    """
    before = last - sum(len(events) for events in group)
    return [before + count for count in accumulate(len(events) for events in group)]
