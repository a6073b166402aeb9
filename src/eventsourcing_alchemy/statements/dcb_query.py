"""Queries of dynamic consistency boundaries, in a form that statements are made for."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import NamedTuple

from eventsourcing_alchemy.host import (
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    ProgrammingError,
)
from eventsourcing_alchemy.schema.validation import checked_names

MOST_ITEMS = 100
"""Items that one statement looks for, at the most: some databases allow 500 parts."""

MOST_PARAMETERS = 10_000
"""Types and tags in one statement, at the most; an item is never divided."""


MOST_NAMES = 30_000
"""Types and tags in a query, at the most."""


class ItemShape(NamedTuple):
    """How many types and tags an item has, of which its SQL is made."""

    types: int
    tags: int


@dataclass(frozen=True)
class Item:
    """Events of any of these types (of all, if there are none) with all of the tags."""

    types: tuple[str, ...]
    tags: tuple[str, ...]

    @classmethod
    def of(cls, item: DCBQueryItem) -> "Item":
        """The item without duplicates.

        Raises:
            DataError: if a type or tag is nothing that is ever stored.
        """
        return cls(_checked("type", item.types), _checked("tag", item.tags))

    @property
    def shape(self) -> ItemShape:
        """What its SQL is made of."""
        return ItemShape(len(self.types), len(self.tags))

    def matches(self, event: DCBEvent) -> bool:
        """Whether it finds the event."""
        is_of_type = not self.types or event.type in self.types
        return is_of_type and set(self.tags) <= set(event.tags)


@dataclass(frozen=True)
class Query:
    """Events that any of the items finds; all events, if there are none."""

    items: tuple[Item, ...]

    @classmethod
    def of(cls, query: DCBQuery | None) -> "Query":
        """The query without duplicates.

        Raises:
            DataError: as `Item.of()`.
            ProgrammingError: if it is too long.
        """
        given = list(query.items) if query is not None else []
        items = dict.fromkeys(map(Item.of, given))
        count = sum(len(item.types) + len(item.tags) for item in given)
        if count > MOST_NAMES:
            msg = (
                f"The query has {count} types and tags: at most {MOST_NAMES} are "
                "allowed"
            )
            raise ProgrammingError(msg)
        finds_all = any(not item.types and not item.tags for item in items)
        return cls(() if finds_all else tuple(items))

    @property
    def shape(self) -> tuple[ItemShape, ...]:
        """What its SQL is made of."""
        return tuple(item.shape for item in self.items)

    @cached_property
    def parameters(self) -> dict[str, str]:
        """By name: `type_0_1` is the second type of the first item."""
        return {
            f"{what}_{i}_{n}": value
            for i, item in enumerate(self.items)
            for what, values in (("type", item.types), ("tag", item.tags))
            for n, value in enumerate(values)
        }

    @cached_property
    def parts(self) -> Sequence["Query"]:
        """Queries that together find the same, each small enough for a statement."""
        return list(self._parts()) or [self]

    def _parts(self) -> Iterator["Query"]:
        part: list[Item] = []
        size = 0
        for item in self.items:
            added = sum(item.shape)
            if part and (len(part) == MOST_ITEMS or size + added > MOST_PARAMETERS):
                yield Query(tuple(part))
                part, size = [], 0
            part.append(item)
            size += added
        if part:
            yield Query(tuple(part))

    def matches(self, event: DCBEvent) -> bool:
        """Whether it finds the event."""
        return not self.items or any(item.matches(event) for item in self.items)


def _checked(what: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(checked_names(what, names)))
