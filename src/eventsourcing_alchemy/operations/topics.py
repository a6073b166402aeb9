"""The topics of an application's events."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from typing import Any

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.host import resolve_topic
from eventsourcing_alchemy.operations.application_reader import ApplicationReader
from eventsourcing_alchemy.operations.reading import Reader, read
from eventsourcing_alchemy.operations.wrong_values import naming_wrong_values

WINDOW = 100_000
"""Positions that one statement counts."""


@dataclass(frozen=True)
class TopicCount:
    """The events of a topic.

    Attributes:
        topic: of the events; their type, where events have tags.
        events: how many there are.
        first: position of the first.
        last: position of the last.
    """

    topic: str
    events: int
    first: int
    last: int


def topic_counts(
    datastore: SQLAlchemyDatastore, application: str
) -> Sequence[TopicCount]:
    """Counts the events of each topic. Reads every event but its state.

    In many short transactions, so events that come meanwhile may count, or not.

    Args:
        datastore: the database.
        application: name of the application.

    Returns:
        In the order of topics.

    Raises:
        UnknownNameError: if there is no such application.
        PersistenceError: if the database fails.
    """
    counts: dict[str, TopicCount] = {}
    for each in _in_windows(datastore, application):
        seen = counts.get(each.topic)
        counts[each.topic] = each if seen is None else _sum(seen, each)
    with naming_wrong_values(datastore):
        return [counts[topic] for topic in sorted(counts)]


def _in_windows(
    datastore: SQLAlchemyDatastore, application: str
) -> Iterator[TopicCount]:
    low: int | None = 0
    while low is not None:
        low, found = read(datastore, partial(_window, application, low))
        yield from (TopicCount(*row) for row in found)


def _window(
    application: str, low: int, reader: Reader
) -> tuple[int | None, Sequence[Any]]:
    """Where the next window begins, None after the last one; the topics of this one."""
    events = ApplicationReader(reader, application)
    found = events.topics(low, low + WINDOW)
    end = events.after_gap(low + WINDOW)
    return (end if end < events.last_position else None), found


def _sum(seen: TopicCount, more: TopicCount) -> TopicCount:
    return replace(
        seen,
        events=seen.events + more.events,
        first=min(seen.first, more.first),
        last=max(seen.last, more.last),
    )


def problem_of(topic: str) -> str | None:
    """Why this code base cannot resolve a topic, None if it can.

    Imports what the topic names, as reading its events does.
    """
    try:
        resolve_topic(topic)
    except Exception as error:  # Modules may do anything when they are imported.
        return text_of(error)
    return None
