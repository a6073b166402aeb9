"""Letting one thread end what another one waits for."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from queue import SimpleQueue
from threading import RLock, Thread
from typing import Any, Generic, TypeVar

from eventsourcing_alchemy.host import WaitInterruptedError

T = TypeVar("T")


class Interruption:
    """Is set once, by any thread, also in a signal handler."""

    def __init__(self) -> None:
        self._lock = RLock()
        self._is_set = False
        self._call: Callable[[], None] | None = None

    def set(self) -> None:
        """Interrupts what is going on, and what would begin later."""
        with self._lock:
            self._is_set = True
            if self._call is not None:
                self._call()

    def is_set(self) -> bool:
        """Whether `set()` has been called."""
        return self._is_set

    @contextmanager
    def calling(self, call: Callable[[], None]) -> Iterator[None]:
        """Lets `set()` call a function, at once if it was set before.

        Only for the time of the block: when that has ended, no call is under way.
        """
        with self._lock:
            self._call = call
            if self._is_set:
                call()
        try:
            yield
        finally:
            with self._lock:
                if self._call is call:
                    self._call = None


class Attempt(Generic[T]):
    """A call in a thread of its own, whose result nobody may want any more.

    Args:
        call: may take long, and cannot be interrupted.
        discard: gets a result that comes too late.
    """

    def __init__(self, call: Callable[[], T], discard: Callable[[T], None]) -> None:
        self._call = call
        self._discard = discard
        self._lock = RLock()
        self._is_abandoned = False
        self._outcomes: SimpleQueue[tuple[T | None, BaseException | None]]
        self._outcomes = SimpleQueue()

    def result(self, interruption: Interruption) -> T:
        """The result of the call, or its exception.

        Raises:
            WaitInterruptedError: if the interruption is set before.
        """
        Thread(target=self._run, name="connecting", daemon=True).start()
        with interruption.calling(self._abandon):
            result, error = self._outcomes.get()
        if error is not None:
            raise error
        return result  # type: ignore[return-value]

    def _abandon(self) -> None:
        with self._lock:
            self._is_abandoned = True
        self._outcomes.put((None, WaitInterruptedError()))

    def _run(self) -> None:
        outcome: tuple[Any, BaseException | None]
        try:
            outcome = self._call(), None
        except BaseException as error:
            outcome = None, error
        with self._lock:
            if not self._is_abandoned:
                self._outcomes.put(outcome)
                return
        if outcome[1] is None:
            self._discard(outcome[0])
