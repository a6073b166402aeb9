"""Events with tags, for dynamic consistency boundaries."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from itertools import count
from sys import getsizeof
from typing import Self
from uuid import uuid4

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.group_commit import Outcome, Size
from eventsourcing_alchemy.database.wakeups import events_topic
from eventsourcing_alchemy.dialects.base import Application, Condition
from eventsourcing_alchemy.dialects.base.dcb_appending import Append
from eventsourcing_alchemy.host import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBRecorder,
)
from eventsourcing_alchemy.recorders.registered import RegisteredRecorder
from eventsourcing_alchemy.schema.tables import dcb_events
from eventsourcing_alchemy.schema.validation import (
    checked_count,
    checked_dcb_events,
    checked_limit,
)
from eventsourcing_alchemy.statements import dcb
from eventsourcing_alchemy.statements.dcb_query import Query
from eventsourcing_alchemy.statements.executor import Executor
from eventsourcing_alchemy.subscriptions.dcb_reader import DCBReader, ReadResponse
from eventsourcing_alchemy.subscriptions.dcb_subscription import (
    SQLAlchemyDCBSubscription,
)


class SQLAlchemyDCBRecorder(RegisteredRecorder, DCBRecorder):
    """Stores events with tags, and gives them positions.

    Positions count from 1 without gaps, in the order of commits. Every append locks the
    row of the application first. So a condition is checked against all earlier appends,
    and nothing can be appended between the check and the commit.

    Args:
        datastore: the database.
        name: the name of the application.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, name: str = "") -> None:
        super().__init__(datastore, name)
        self.reader = DCBReader(datastore, name)
        self._application = Application(name, datastore.schema)
        self._notifies = datastore.settings.subscribe != "poll"
        self._seen: int | None = None
        self._topic = events_topic(datastore.database, name)

    def read(
        self,
        query: DCBQuery | None = None,
        *,
        after: int | None = None,
        limit: int | None = None,
    ) -> ReadResponse:
        """Returns the events that match a query, in the order of positions.

        The recorder reads them page by page, up to the last position at the time of
        the call.

        Args:
            query: an event matches an item if it has one of the item's types (any
                type, if the item has none) and all of the item's tags. Without a query
                or items, all events match.
            after: the position to start after; None for the beginning.
            limit: the maximum number of events; None for all.

        Returns:
            An iterator. Its `head` is the last position of the application. With a
            limit, it is the position of the last event that the iterator returns. It
            is None if there are no events.

        Raises:
            ProgrammingError: if `after` or `limit` is negative.
            DataError: if a type or tag is one that cannot be stored.
            OperationalError: if the database cannot be reached.
        """
        return ReadResponse(
            self.reader,
            Query.of(query),
            checked_count("after", after or 0),
            checked_limit(limit),
        )

    def head(self) -> int | None:
        """Returns the position of the last event, or None if there is none."""
        return self.datastore.retrying(self.reader.last_position) or None

    def subscribe(
        self, query: DCBQuery | None = None, *, after: int | None = None
    ) -> SQLAlchemyDCBSubscription[Self]:
        """Follows the application: see `SQLAlchemyDCBSubscription`.

        Args:
            query: selects events, as in `read()`.
            after: the position to start after; None for the beginning.

        Raises:
            ProgrammingError: if `after` is negative, or beyond the last position.
            OperationalError: if the database cannot be reached.
        """
        after = checked_count("after", after or 0)
        return SQLAlchemyDCBSubscription(self, query, after, self.reader)

    def append(
        self, events: Sequence[DCBEvent], condition: DCBAppendCondition | None = None
    ) -> int:
        """Stores all of the events at the next positions, or none.

        Args:
            events: at least one event.
            condition: the append fails if an event after the condition's position
                matches its query.

        Returns:
            The position of the last event. The others precede it without a gap.

        Raises:
            IntegrityError: if an event matches the condition.
            DataError: if a value does not fit its column.
            ProgrammingError: if there are no events.
            OperationalError: if another transaction locks the application for too
                long, or the database stays out of reach. If the connection was lost
                in COMMIT, the events may be stored.
        """
        append = Append(
            uuid4(), checked_dcb_events(events), _checked_condition(condition)
        )
        # Read now: other threads append until it is tried again.
        after = self._last_seen()
        tries = count()
        with instrumentation.observer.appending(self.name, append.events) as appending:
            last = self.datastore.retrying(
                lambda: (
                    self._append_again(append, after)
                    if next(tries)
                    else self._append(append)
                )
            )
            appending.stored(last)
        return last

    def _last_seen(self) -> int:
        """A position after which to look for what is stored from now on."""
        if self._seen is None and not self.datastore.is_in_transaction():
            self._seen = self.datastore.retrying(self.reader.last_position)
        return self._seen or 0

    def _append(self, append: Append) -> int:
        key = dcb_events, self._application, self._notifies
        group_commit = self.datastore.group_commit(key)
        if group_commit is None:
            return self._append_now(append)
        return group_commit.append(append, _size, self._append_all)

    def _append_all(self, group: Sequence[Append]) -> Sequence[Outcome]:
        if len(group) == 1:
            return [self._append_now(group[0])]
        outcomes = self.datastore.alone(
            lambda executor: self._append_group(executor, group)
        )
        if not any(isinstance(outcome, int) for outcome in outcomes):
            outcomes = self._append_group_in_turn(group, outcomes)
        self._announce(outcomes)
        return [
            self._outcome(append) if outcome is None else outcome
            for append, outcome in zip(group, outcomes, strict=True)
        ]

    def _append_group_in_turn(
        self, group: Sequence[Append], outcomes: Sequence[Outcome | None]
    ) -> Sequence[Outcome | None]:
        pending = [
            append
            for append, outcome in zip(group, outcomes, strict=True)
            if outcome is None
        ]
        if not pending:
            return outcomes
        with self._in_turn() as executor:
            later = iter(self._append_group(executor, pending))
        return [next(later) if outcome is None else outcome for outcome in outcomes]

    def _append_group(
        self, executor: Executor, group: Sequence[Append]
    ) -> Sequence[Outcome | None]:
        return self.datastore.dialect.append_dcb_group(
            executor, self._application, group, notify=self._notifies
        )

    def _outcome(self, append: Append) -> Outcome:
        """Of one alone, whose failure must not be that of others."""
        try:
            return self._append_now(append)
        except Exception as error:
            return error

    def _append_now(self, append: Append) -> int:
        last = self.datastore.alone(
            lambda executor: self.datastore.dialect.append_dcb(
                executor, self._application, append, notify=self._notifies
            )
        )
        if last is None:
            return self._append_in_turn(append)
        self._announce([last])
        return last

    def _append_in_turn(self, append: Append) -> int:
        with self._in_turn() as executor:
            last = self.datastore.dialect.append_dcb(
                executor, self._application, append, notify=self._notifies
            )
            if last is None:
                last = self._append_in_steps(executor, append)
        self._announce([last])
        return last

    def _append_in_steps(self, executor: Executor, append: Append) -> int:
        (outcome,) = self._append_group(executor, [append])
        if isinstance(outcome, int):
            return outcome
        raise outcome or AssertionError  # In a transaction, nothing stays open.

    def _append_again(self, append: Append, after: int) -> int:
        """After a failure, which may have been after the COMMIT.

        The lock comes first, because a server may be about to commit.
        """
        with self._in_turn() as executor:
            self.datastore.dialect.lock_positions(executor, self._application)
            parameters = {
                "application": self.name,
                "after": after,
                "append_id": append.id,
            }
            stored = executor.scalar(dcb.position_of_append(), parameters)
            if stored is not None:
                return int(stored)
            last = self._append_in_steps(executor, append)
        self._announce([last])
        return last

    @contextmanager
    def _in_turn(self) -> Iterator[Executor]:
        with self.datastore.writing() as executor:
            self.datastore.dialect.wait_for_turn(executor, self._application)
            yield executor

    def _announce(self, outcomes: Sequence[Outcome | None]) -> None:
        self.datastore.hint(self._topic)
        if not self.datastore.is_in_transaction():
            stored = [each for each in outcomes if isinstance(each, int)]
            self._seen = max(stored, default=self._seen)


def _checked_condition(condition: DCBAppendCondition | None) -> Condition | None:
    if condition is None:
        return None
    after = checked_count("after", condition.after or 0)
    return Condition(Query.of(condition.fail_if_events_match), after)


def _size(append: Append) -> Size:
    data = sum(getsizeof(event.data) for event in append.events)
    return Size(len(append.events), data)
