"""The events that are stored: the same for all contestants."""

from collections.abc import Iterable, Iterator
from functools import cache
from itertools import count, islice
from random import Random
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.persistence import StoredEvent

from benchmarks.domain import Shop, add_item, new_order

LIFE = 20
"""Events of an order."""

OPEN = 32
"""Orders that change at the same time."""

LOAD = 500
"""Events in a transaction, where the log is filled."""

LONG = 100
"""Events of an aggregate that is loaded."""


@cache
def contents(length: int) -> tuple[tuple[str, bytes], ...]:
    """Topics and states of an order's events, as the application stores them."""
    order = new_order(1)
    for number in range(1, length):
        add_item(order, number)
    mapper = Shop(env={"PERSISTENCE_MODULE": "eventsourcing.popo"}).mapper
    stored = [mapper.to_stored_event(each) for each in order.collect_events()]
    return tuple((each.topic, each.state) for each in stored)


def life(originator_id: UUID, length: int = LIFE) -> Iterator[StoredEvent]:
    """The events of one order."""
    for version, (topic, state) in enumerate(contents(length), 1):
        yield StoredEvent(originator_id, version, topic, state)


def orders(seed: int) -> Iterator[StoredEvent]:
    """Events of many orders without end: some begin, most go on.

    Args:
        seed: of the orders' IDs: different for those who store at the same time.
    """
    random = Random(f"open {seed}")  # noqa: S311
    # At different points of their lives from the beginning on.
    being_written = [
        life(_id(random), length=1 + (LIFE * n) // OPEN) for n in range(OPEN)
    ]
    for n in count():
        stored = next(being_written[n % OPEN], None)
        if stored is None:
            being_written[n % OPEN] = life(_id(random))
            stored = next(being_written[n % OPEN])
        yield stored


def long_order(number: int) -> Iterator[StoredEvent]:
    """The events of an order that is loaded."""
    return life(long_order_id(number), LONG)


def long_order_id(number: int) -> UUID:
    """The ID of an order that is loaded."""
    return _id(Random(f"long {number}"))  # noqa: S311


def batches(events: Iterator[StoredEvent], size: int) -> Iterator[list[StoredEvent]]:
    """The events, so many at a time."""
    while batch := list(islice(events, size)):
        yield batch


def fill(application: Application[Any], events: Iterable[StoredEvent]) -> int:
    """Stores events fast; returns how many."""
    count = 0
    for batch in batches(iter(events), LOAD):
        application.recorder.insert_events(batch)
        count += len(batch)
    return count


def _id(random: Random) -> UUID:
    return UUID(int=random.getrandbits(128), version=4)
