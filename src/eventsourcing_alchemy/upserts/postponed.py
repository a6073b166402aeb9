"""What is done before a statement could tell that it is not done yet."""

from collections.abc import Callable, Hashable

Tells = Callable[[str], bool]


def any_tells(_: str) -> bool:
    """A statement may do anything."""
    return True


class Postponed:
    """What is postponed, by its key."""

    def __init__(self) -> None:
        self._calls: dict[Hashable, tuple[Callable[[], None], Tells]] = {}

    def add(self, key: Hashable, call: Callable[[], None], tells: Tells) -> None:
        """Has something done later, instead of what has the same key.

        Args:
            key: tells it from what else is postponed.
            call: does it.
            tells: whether a statement could tell that it is not done.
        """
        self._calls[key] = call, tells

    def carry_out(self, before: str | None = None) -> None:
        """Does it.

        Args:
            before: the statement that is about to be executed, if it is known: does
                only what it could tell.
        """
        for key, (call, tells) in tuple(self._calls.items()):
            if before is None or tells(before):
                del self._calls[key]
                call()

    def clear(self) -> None:
        """Never does it."""
        self._calls.clear()
