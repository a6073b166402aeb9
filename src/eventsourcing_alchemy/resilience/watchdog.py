"""Connections on which no answer comes are closed."""

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial
from sys import is_finalizing
from threading import Condition, RLock, Thread, current_thread
from time import monotonic
from typing import Any
from weakref import ReferenceType, ref

from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.resilience.sockets import quiet_seconds, shut_down

GRACE = 0.03
"""Seconds that are left to an operation that is interrupted."""

IDLE = 60.0
"""Seconds between looks, at the most."""

PATIENCE = 1.0
"""Seconds in which a thread that is told to end usually does."""


class Operation:
    """Something that a server is to answer, for the time of a `with` block.

    Attributes:
        connection: the driver's.
        patience: seconds of silence, after which the connection counts as lost.
        deadline: when to look, by the monotonic clock.
        reference: by which the watchdog knows it: that of a block which an interrupt
            has left without `__exit__()` is gone with the block.
    """

    __slots__ = (
        "__weakref__",
        "_interrupted",
        "_watchdog",
        "connection",
        "deadline",
        "patience",
        "reference",
    )

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
        self.reference = ref(self, watchdog.operations.discard)
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
        # Not by `with self._changed`, which is no single step of the interpreter: an
        # interrupt could leave it locked.
        self._lock = RLock()
        self._changed = Condition(self._lock)
        self.operations: set[ReferenceType[Operation]] = set()
        self._thread: Thread | None = None
        self._wakes_at = 0.0
        self._shortest = IDLE

    def close(self) -> None:
        """Ends the thread, as soon as nothing is watched."""
        with self._lock:
            self._is_closed = True
            self._changed.notify_all()
            thread = self._thread
            is_busy = bool(self.operations)
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
        if is_finalizing():  # No thread starts any more: start() would wait for ever.
            return
        with self._lock:
            self.operations.add(operation.reference)
            if operation.patience < self._shortest:
                self._shortest = operation.patience
            if self._thread is None:
                self._wakes_at = operation.deadline
                thread = Thread(target=self._run, name="watchdog", daemon=True)
                thread.start()
                self._thread = thread  # Unless an interrupt has kept it from starting.
            elif operation.deadline < self._wakes_at:
                self._changed.notify_all()

    def end(self, operation: Operation) -> None:
        """Watches it no more."""
        if is_finalizing():  # The thread is gone, perhaps in the midst of its work.
            return
        with self._lock:
            self.operations.discard(operation.reference)
            if self._is_closed:
                self._changed.notify_all()

    def hurry(self, operation: Operation) -> None:
        """Ends an operation, unless it ends by itself at once."""
        with self._lock:
            operation.patience = 0
            operation.deadline = monotonic() + GRACE
            self._changed.notify_all()

    def _run(self) -> None:
        with self._lock:
            while self.operations or not self._is_closed:
                now = monotonic()
                # Early enough for what begins meanwhile, which then wakes nobody: most
                # operations take less time than a thread to wake up.
                self._wakes_at = min([now + self._shortest, *self._deadlines()])
                self._changed.wait(max(0, self._wakes_at - now))
                self._look()
            self._thread = None

    def _deadlines(self) -> list[float]:
        return [operation.deadline for operation in self._watched()]

    def _watched(self) -> list[Operation]:
        # A copy: the garbage collector may end one in the midst of this. Not in
        # `_run()`, whose variables would keep operations through the wait.
        references = list(self.operations)
        return [each for each in (found() for found in references) if each is not None]

    def _look(self) -> None:
        now = monotonic()
        for operation in self._watched():
            if operation.deadline <= now:
                self._look_at(operation, now)

    def _look_at(self, operation: Operation, now: float) -> None:
        descriptor = None
        with suppress(Exception):  # It is being closed.
            descriptor = self._descriptor(operation.connection)
        if descriptor is None:
            self.operations.discard(operation.reference)
            return
        quiet = quiet_seconds(descriptor)
        if quiet < operation.patience:
            operation.deadline = now + operation.patience - quiet
            return
        self.operations.discard(operation.reference)
        shut_down(descriptor)
