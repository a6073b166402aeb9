"""Statements, counted and timed where they are executed."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import get_ident
from time import perf_counter
from typing import Any

from sqlalchemy import Engine, event


@dataclass
class Statements:
    """What one thread has executed.

    Attributes:
        thread: the thread, None for all of them.
        executed: SQL and parameters of each.
        longest: seconds that the longest one took, without fetching.
    """

    thread: int | None = None
    executed: list[tuple[str, Any]] = field(default_factory=list)
    longest: float = 0.0
    _begun: float = 0.0

    def begin(
        self, _: object, __: object, statement: str, parameters: Any, *___: object
    ) -> None:
        """Before the cursor executes."""
        if self.thread in (None, get_ident()):
            self.executed.append((statement, parameters))
            self._begun = perf_counter()

    def end(self, *_: object) -> None:
        """After the cursor has executed."""
        if self.thread in (None, get_ident()):
            self.longest = max(self.longest, perf_counter() - self._begun)


@contextmanager
def statements(engine: Engine) -> Iterator[Statements]:
    """The statements of the block."""
    seen = Statements()
    event.listen(engine, "before_cursor_execute", seen.begin)
    event.listen(engine, "after_cursor_execute", seen.end)
    try:
        yield seen
    finally:
        event.remove(engine, "before_cursor_execute", seen.begin)
        event.remove(engine, "after_cursor_execute", seen.end)
