"""Faults that wait for their moment."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field
from threading import Event


@dataclass
class Trigger:
    """Does something when a client sends a statement.

    Attributes:
        pattern: what to find in the statement.
        then: what to do. The proxy forwards nothing before it returns.
        when_answered: whether to do it when the server has answered.
        times: how many statements to do it for. The next ones pass.
        fired: set when it was done for the first time, so that a test can wait for it.
    """

    pattern: re.Pattern[bytes]
    then: Callable[[], object]
    when_answered: bool
    times: int
    fired: Event = field(default_factory=Event)

    def takes(self, statement: bytes) -> bool:
        """Whether this is the moment; if so, it is one of the `times`."""
        if self.times == 0 or not self.pattern.search(statement):
            return False
        self.times -= 1
        return True

    def fire(self) -> None:
        """Do it."""
        self.then()
        self.fired.set()
