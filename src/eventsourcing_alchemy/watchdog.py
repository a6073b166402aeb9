"""Connections on which no answer comes are closed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from threading import Condition, Thread, current_thread
from time import monotonic
from typing import Any

from eventsourcing_alchemy.interruptions import Interruption
from eventsourcing_alchemy.sockets import quiet_seconds, shut_down

GRACE = 0.03
"""Seconds that are left to an operation that is interrupted."""

IDLE = 60.0
"""Seconds between looks when nothing is watched."""

PATIENCE = 1.0
"""Seconds in which a thread that is told to end usually does."""


class Operation:
    """Something that a server is to answer, for the time of a `with` block.

    Attributes:
        connection: the driver's.
        patience: seconds of silence, after which the connection counts as lost.
        deadline: when to look, by the monotonic clock.
    """

    __slots__ = ("_interrupted", "_watchdog", "connection", "deadline", "patience")

    def __init__(
        self,
        watchdog: "Watchdog",
        connection: Any,
        patience: float,
        interruption: Interruption | None,
    ) -> None:
        self.connection = connection
        self.patience = patience
        self.deadline = monotonic() + patience
        self._watchdog = watchdog
        self._interrupted = (
            None
            if interruption is None
            else interruption.calling(partial(watchdog.hurry, self))
        )

    def __enter__(self) -> None:
        self._watchdog.begin(self)
        if self._interrupted is not None:
            self._interrupted.__enter__()

    def __exit__(self, *error: object) -> None:
        if self._interrupted is not None:
            self._interrupted.__exit__(None, None, None)
        self._watchdog.end(self)


class Watchdog:
    """Ends operations whose server says nothing, which would otherwise never end.

    TCP notices a peer that is gone, not one that is there and silent: a stalled
    proxy, a frozen machine. Shutting the socket down makes the driver raise its error
    for a lost connection. Where data flows, however slowly, nothing is ended.

    Args:
        descriptor: tells the file descriptor of the socket of a driver's connection,
            None where there is no socket. Then nothing is watched.
    """

    def __init__(self, descriptor: Callable[[Any], int | None]) -> None:
        self._descriptor = descriptor
        self._is_closed = False
        self.forget()

    def forget(self) -> None:
        """Starts anew, in a forked child."""
        self._changed = Condition()
        self._operations: set[Operation] = set()
        self._thread: Thread | None = None
        self._wakes_at = 0.0

    def close(self) -> None:
        """Ends the thread, as soon as nothing is watched."""
        with self._changed:
            self._is_closed = True
            self._changed.notify()
            thread = self._thread
            is_busy = bool(self._operations)
        if thread is not None and thread is not current_thread() and not is_busy:
            thread.join(PATIENCE)

    def watching(
        self,
        connection: Any,
        patience: float,
        interruption: Interruption | None = None,
    ) -> AbstractContextManager[None]:
        """Watches a connection for the time of a `with` block.

        Args:
            connection: the driver's, is used in the block.
            patience: seconds of silence, after which it is closed.
            interruption: makes that time very short when it is set.
        """
        if self._descriptor(connection) is None:
            return nullcontext()
        return Operation(self, connection, patience, interruption)

    def begin(self, operation: Operation) -> None:
        """Watches an operation."""
        with self._changed:
            self._operations.add(operation)
            if self._thread is None:
                self._wakes_at = operation.deadline
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif operation.deadline < self._wakes_at:
                self._changed.notify()

    def end(self, operation: Operation) -> None:
        """Watches it no more."""
        with self._changed:
            self._operations.discard(operation)
            if self._is_closed:
                self._changed.notify()

    def hurry(self, operation: Operation) -> None:
        """Ends an operation, unless it ends by itself at once."""
        with self._changed:
            operation.patience = 0
            operation.deadline = monotonic() + GRACE
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._operations or not self._is_closed:
                now = monotonic()
                # A copy: the garbage collector may end one in the midst of this.
                deadlines = [each.deadline for each in list(self._operations)]
                self._wakes_at = min(deadlines, default=now + IDLE)
                self._changed.wait(max(0, self._wakes_at - now))
                self._look()
            self._thread = None

    def _look(self) -> None:
        # Not in `_run()`, whose variables would keep an operation through the wait.
        now = monotonic()
        for operation in list(self._operations):
            if operation.deadline <= now:
                self._look_at(operation, now)

    def _look_at(self, operation: Operation, now: float) -> None:
        descriptor = None
        with suppress(Exception):  # It is being closed.
            descriptor = self._descriptor(operation.connection)
        if descriptor is None:
            self._operations.discard(operation)
            return
        quiet = quiet_seconds(descriptor)
        if quiet < operation.patience:
            operation.deadline = now + operation.patience - quiet
            return
        self._operations.discard(operation)
        shut_down(descriptor)
