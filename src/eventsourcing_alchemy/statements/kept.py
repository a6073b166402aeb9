"""What is kept because making it again takes time, and not too much of it."""

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

T = TypeVar("T")

MOST_KEPT = 100
"""For one owner."""


class Kept(dict[Any, Any]):
    """What was made before. Pickled copies of its owner have none of it."""

    def get_or_make(self, key: Hashable, make: Callable[[], T]) -> T:
        """What was made for a key before, or is made now."""
        try:
            found: T = self[key]
        except KeyError:
            found = make()
            self.keep(key, found)
        return found

    def keep(self, key: Hashable, value: Any) -> None:
        """Keeps a value, and forgets all others where there are too many."""
        if len(self) >= MOST_KEPT:
            self.clear()
        self[key] = value

    def __reduce__(self) -> tuple[type["Kept"], tuple[()]]:
        return Kept, ()
