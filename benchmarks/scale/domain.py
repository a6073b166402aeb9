"""Events beside those of orders: rare ones, and large ones."""

from collections.abc import Iterator
from functools import cache
from itertools import chain, count, islice
from random import Random
from uuid import UUID, uuid4

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate
from eventsourcing.persistence import StoredEvent
from eventsourcing.utils import get_topic

from benchmarks.workload import LONG, long_order, orders

BATCH = 1_000
"""Events in a transaction, where the log grows."""

RARITY = 10_000
"""There is one rare event, and one long order, among so many."""

LARGE = 1_000_000
"""Bytes of a large state."""


class Alarm(Aggregate):
    """What happens rarely."""


class Attachment(Aggregate):
    """A file, as some keep it in an event."""

    def __init__(self, content: str) -> None:
        self.content = content


class Archive(Application[UUID]):
    """Attachments."""


RARE = get_topic(Alarm.Created)


@cache
def _rare_state() -> bytes:
    mapper = Archive(env={"PERSISTENCE_MODULE": "eventsourcing.popo"}).mapper
    state: bytes = mapper.to_stored_event(Alarm().collect_events()[0]).state
    return state


def rare_event() -> StoredEvent:
    """An event that a subscription looks for."""
    return StoredEvent(uuid4(), 1, RARE, _rare_state())


def log() -> Iterator[list[StoredEvent]]:
    """Batches of events without end."""
    usual = orders(0)
    for number in count():
        if number % (RARITY // BATCH) == 0:
            extra = chain(long_order(number * BATCH // RARITY), [rare_event()])
            rest = islice(usual, BATCH - LONG - 1)
            yield [*extra, *rest]
        else:
            yield list(islice(usual, BATCH))


def long_orders(events: int) -> int:
    """How many there are in a log of so many events."""
    return -(-events // RARITY)


def attachments(number: int) -> Iterator[Attachment]:
    """Attachments whose content cannot be compressed much."""
    random = Random("attachments")  # noqa: S311
    for _ in range(number):
        yield Attachment(random.randbytes(LARGE // 2).hex())
