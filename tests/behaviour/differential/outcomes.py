"""What is there after all events have been processed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Outcome:
    """What is there after all events have been processed.

    Attributes:
        parts: what is compared: the rows of each table, what the view has read, and
            so on.
        shared: positions of events that were processed together with others.
    """

    parts: Mapping[str, Any]
    shared: frozenset[int]

    def difference(self, other: Outcome) -> str | None:
        """The first difference, None if there is none."""
        for name, part in self.parts.items():
            theirs = other.parts.get(name)
            if part != theirs:
                return f"{name}: " + next(_differences(part, theirs))
        return None


def _differences(ours: Any, theirs: Any) -> Iterator[str]:
    if isinstance(ours, Mapping) and isinstance(theirs, Mapping):
        for key in [*ours, *(key for key in theirs if key not in ours)]:
            if ours.get(key) != theirs.get(key):
                yield f"{key}: expected {ours.get(key)}, got {theirs.get(key)}"
    yield f"expected {ours}, got {theirs}"
