"""Queries of dynamic consistency boundaries, in a form that statements are made for."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from itertools import chain
from operator import gt
from typing import NamedTuple, TypeVar

from eventsourcing_alchemy.host import (
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
    ProgrammingError,
)
from eventsourcing_alchemy.schema.validation import checked_names
from eventsourcing_alchemy.statements.renamed_topics import with_other_names

T = TypeVar("T")

MOST_ITEMS = 100
"""Items that one statement looks for, at the most: some databases allow 500 parts."""

MOST_PARAMETERS = 10_000
"""Types and tags in one statement, at the most; the tags of an item belong together."""

MOST_BYTES = 200_000
"""The same in bytes: servers take no statement of any size, or close the connection."""

MOST_NAMES = 30_000
"""Types and tags in a query, at the most."""

MOST_BYTES_OF_TAGS = 1_100_000
"""Bytes of the tags of an item, at the most."""

FEW = 100
"""Types and tags that are not too many for a statement, however long they are."""


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
        """The item without duplicates, with all names of types that were renamed.

        Raises:
            DataError: if a type or tag is nothing that is ever stored.
            ProgrammingError: if the tags are too long.
        """
        types = with_other_names(_checked("type", item.types))
        checked = cls(types, _checked("tag", item.tags))
        if len(checked.tags) > FEW:
            checked.refuse_long_tags()
        return checked

    def refuse_long_tags(self) -> None:
        """Refuses tags that no statement has room for.

        Raises:
            ProgrammingError: names the limit.
        """
        size = _bytes(self.tags)
        if size > MOST_BYTES_OF_TAGS:
            msg = (
                f"The tags of an item in the query have {size:,} bytes: at most "
                f"{MOST_BYTES_OF_TAGS:,} are allowed"
            )
            raise ProgrammingError(msg)

    def pieces(self) -> Iterator["Item"]:
        """Items that together find the same, with few types each."""
        for types in _fitting(self.types, _size_of_name):
            yield Item(tuple(types), self.tags)
        if not self.types:
            yield self

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
        if len(self.items) <= MOST_ITEMS and sum(map(sum, self.shape)) <= FEW:
            return [self]
        pieces = chain.from_iterable(item.pieces() for item in self.items)
        return [Query(tuple(part)) for part in _fitting(pieces, _size_of_item)]

    def matches(self, event: DCBEvent) -> bool:
        """Whether it finds the event."""
        return not self.items or any(item.matches(event) for item in self.items)


def _checked(what: str, names: Sequence[str]) -> tuple[str, ...]:
    return tuple(dict.fromkeys(checked_names(what, names)))


class _Size(NamedTuple):
    """How much there is in a statement."""

    items: int
    names: int
    bytes: int


_LARGEST = _Size(MOST_ITEMS, MOST_PARAMETERS, MOST_BYTES)


def _size_of_item(item: Item) -> _Size:
    return _Size(1, sum(item.shape), _bytes(item.types) + _bytes(item.tags))


def _size_of_name(name: str) -> _Size:
    return _Size(0, 1, _bytes([name]))


def _bytes(names: Sequence[str]) -> int:
    return sum(len(name.encode()) for name in names)


def _fitting(
    things: Iterable[T], size_of: Callable[[T], _Size]
) -> Iterator[Sequence[T]]:
    """The things in parts of which each fits into a statement, or is a single one."""
    part: list[T] = []
    total = _Size(0, 0, 0)
    for thing in things:
        size = size_of(thing)
        larger = _Size(*map(sum, zip(total, size, strict=True)))
        if part and any(map(gt, larger, _LARGEST)):
            yield part
            part, larger = [], size
        part.append(thing)
        total = larger
    if part:
        yield part
