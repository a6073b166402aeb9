"""Questions whose answer may not come: of who asks, nobody waits for ever."""

from collections.abc import Callable
from math import inf
from threading import Lock, Thread
from time import monotonic
from typing import Generic, TypeVar

T = TypeVar("T")


class Asking(Generic[T]):
    """Asks again and again, in a thread, one question at a time.

    Args:
        ask: asks the database, and raises nothing.
        interval: seconds between an answer and the next question, at the least.
        patience: seconds after a question in which to wait for its answer.
        name: of the thread.
    """

    def __init__(
        self, ask: Callable[[], T], interval: float, patience: float, name: str
    ) -> None:
        self._ask = ask
        self._interval = interval
        self._patience = patience
        self._name = name
        self._lock = Lock()
        self._thread = Thread()
        self._asked_at: float | None = None
        self._answered_at = -inf
        self._answer: T | None = None

    def answer(self) -> T | None:
        """An answer as of one interval ago at the most; None if it does not come."""
        thread = self._last_thread()
        thread.join(max(0.0, self._patience - self.silent_for()))
        return None if thread.is_alive() else self._answer

    def silent_for(self) -> float:
        """Seconds since the last question was asked."""
        return 0.0 if self._asked_at is None else monotonic() - self._asked_at

    def _last_thread(self) -> Thread:
        with self._lock:
            # Since the answer: in an outage, each takes longer than the interval.
            is_due = monotonic() - self._answered_at >= self._interval
            if is_due and not self._thread.is_alive():
                # Nobody waits for it at the end of the process.
                self._thread = Thread(target=self._run, name=self._name, daemon=True)
                self._asked_at = monotonic()
                self._thread.start()
            return self._thread

    def _run(self) -> None:
        self._answer = self._ask()
        self._answered_at = monotonic()
