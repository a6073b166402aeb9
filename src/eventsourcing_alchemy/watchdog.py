"""Connections on which no answer comes are closed."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
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
    """Something that a server is to answer.

    Attributes:
        connection: the driver's.
        patience: seconds of silence, after which the connection counts as lost.
        deadline: when to look, by the monotonic clock.
    """

    def __init__(self, connection: Any, patience: float) -> None:
        self.connection = connection
        self.patience = patience
        self.deadline = monotonic() + patience


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

    @contextmanager
    def watching(
        self,
        connection: Any,
        patience: float,
        interruption: Interruption | None = None,
    ) -> Iterator[None]:
        """Watches a connection for the time of the block.

        Args:
            connection: the driver's, is used in the block.
            patience: seconds of silence, after which it is closed.
            interruption: makes that time very short when it is set.
        """
        if self._descriptor(connection) is None:
            yield
            return
        operation = Operation(connection, patience)
        interrupted = (
            interruption.calling(lambda: self._hurry(operation))
            if interruption is not None
            else nullcontext()
        )
        self._begin(operation)
        try:
            with interrupted:
                yield
        finally:
            with self._changed:
                self._operations.discard(operation)
                if self._is_closed:
                    self._changed.notify()

    def _begin(self, operation: Operation) -> None:
        with self._changed:
            self._operations.add(operation)
            if self._thread is None:
                self._wakes_at = operation.deadline
                self._thread = Thread(target=self._run, name="watchdog", daemon=True)
                self._thread.start()
            elif operation.deadline < self._wakes_at:
                self._changed.notify()

    def _hurry(self, operation: Operation) -> None:
        with self._changed:
            operation.patience = 0
            operation.deadline = monotonic() + GRACE
            self._changed.notify()

    def _run(self) -> None:
        with self._changed:
            while self._operations or not self._is_closed:
                now = monotonic()
                for operation in list(self._operations):
                    if operation.deadline <= now:
                        self._look_at(operation, now)
                deadlines = [each.deadline for each in self._operations]
                self._wakes_at = min(deadlines, default=now + IDLE)
                self._changed.wait(max(0, self._wakes_at - now))
            self._thread = None

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
