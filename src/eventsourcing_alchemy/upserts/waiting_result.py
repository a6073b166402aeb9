"""The result of an upsert that waits."""

from collections.abc import Callable
from typing import Any


class WaitingResult:
    """Stands for the result of an upsert that has not been executed yet.

    Who asks it for something has the upsert executed.

    Args:
        ask: tells the real result.
        count: of its rows.
        is_rowcount: whether that is the `rowcount`, which nobody has to ask for then:
            without side effects, it writes its rows or fails.
    """

    def __init__(
        self, ask: Callable[["WaitingResult"], Any], count: int, is_rowcount: bool
    ) -> None:
        self.count = count
        if is_rowcount:
            self.rowcount = count
        self._ask = ask
        self._result: Any = None

    def __getattr__(self, name: str) -> Any:
        if self._result is None:
            asked = self._ask(self)  # It may have been set meanwhile.
            self._result = self._result or asked
        return getattr(self._result, name)

    def set(self, result: Any) -> None:
        """The upsert has been executed by itself."""
        self._result = result
