"""How events with tags are stored, unless a condition fails."""

import json
from collections.abc import Sequence
from typing import Any, NamedTuple
from uuid import UUID

from sqlalchemy import Select

from eventsourcing_alchemy.dialects.base.appending import (
    Appending,
    Application,
    Taken,
)
from eventsourcing_alchemy.host import DCBEvent, IntegrityError
from eventsourcing_alchemy.statements import dcb
from eventsourcing_alchemy.statements.dcb_query import Query
from eventsourcing_alchemy.statements.executor import Executor

_EVENT = ("application_id_", "position_", "type_", "data_", "tags_", "append_id_")
"""Parameters of `dcb.insert_dcb_event()`."""

_TAG = "application_id_", "tag_", "position_", "type_"
"""Parameters of `dcb.insert_dcb_tag()`."""


class Condition(NamedTuple):
    """What must not be there.

    Attributes:
        query: finds it.
        after: position above which it must not be.
    """

    query: Query
    after: int


class Append(NamedTuple):
    """Events to append together.

    Attributes:
        id: by which they are found where the answer to a COMMIT was lost.
        events: one or more.
        condition: what must not be there, None for none.
    """

    id: UUID
    events: Sequence[DCBEvent]
    condition: Condition | None


class DCBAppending(Appending):
    """How events with tags are stored, unless a condition fails.

    Attributes:
        knows_rarest: whether the database looks into an index for each value that it is
            given, and so begins a join with the rarest one.
    """

    knows_rarest: bool = False

    def append_dcb(
        self,
        executor: Executor,
        application: Application,
        append: Append,
        *,
        notify: bool,  # noqa: ARG002
    ) -> int | None:
        """Stores events under the next positions, unless the condition fails.

        The row of the application stays locked until the end of the transaction, and
        the condition is checked after that: by a statement of its own, because one that
        waits for a lock sees the database as it was before.

        Args:
            executor: is in a transaction, or in `alone()`.
            application: whose events they are.
            append: events and condition.
            notify: whether to announce the events to other processes.

        Returns:
            The position of the last event. None if others are appending, or if it
            takes more than one statement: then append in a transaction, after
            `wait_for_turn()`; if it is None again, by `append_dcb_group()`.

        Raises:
            IntegrityError: if the condition fails.
        """
        taken = self.take_positions(executor, application, len(append.events))
        head = taken.last - len(append.events)
        found = self._found(executor, application.name, append.condition, head, [])
        if found is not None:
            raise condition_fails(application.name, append, found)
        _insert(executor, taken, [append], head + 1)
        return taken.last

    def append_dcb_group(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> Sequence[int | IntegrityError | None]:
        """Stores the events of several, each unless its own condition fails.

        Each condition is checked against what the others before it have stored, too.

        Args:
            executor: is in a transaction, after `wait_for_turn()`; or in `alone()`.
            application: whose events they are.
            group: events and conditions.
            notify: as in `append_dcb()`.

        Returns:
            For each, the position of its last event, or the error of its condition;
            in `alone()`, None for those whose events have to be appended again.
        """
        head = self.lock_positions(executor, application)
        outcomes: list[int | IntegrityError | None] = []
        accepted: list[Append] = []
        new: list[DCBEvent] = []
        for append in group:
            found = self._found(executor, application.name, append.condition, head, new)
            if found is None:
                accepted.append(append)
                new += append.events
                outcomes.append(head + len(new))
            else:
                outcomes.append(condition_fails(application.name, append, found))
        if accepted:
            self.store_dcb(executor, application, accepted, notify=notify)
        return outcomes

    def lock_positions(self, executor: Executor, application: Application) -> int:
        """Lets nobody else append until the end of the transaction.

        Returns:
            The last position.
        """
        return self.take_positions(executor, application, 0).last

    def store_dcb(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,  # noqa: ARG002
    ) -> None:
        """Stores events under the next positions, whatever their conditions.

        Args:
            executor: is in a transaction, after `lock_positions()`.
            application: whose events they are.
            group: the events.
            notify: as in `append_dcb()`.
        """
        count = sum(len(append.events) for append in group)
        taken = self.take_positions(executor, application, count)
        _insert(executor, taken, group, taken.last - count + 1)

    def wait_for_turn(self, executor: Executor, application: Application) -> None:
        """Waits for others who append, where `append_dcb()` does not."""

    def first_match(self, shape: dcb.Shape) -> Select[Any]:
        """The statement that looks for an event for which a condition fails.

        It finds what was committed before the application was locked.
        """
        return dcb.first_match(shape)

    def _found(
        self,
        executor: Executor,
        name: str,
        condition: Condition | None,
        head: int,
        new: Sequence[DCBEvent],
    ) -> int | None:
        """The position of an event for which the condition fails.

        Up to the head, or among those that are new after it.
        """
        if condition is None:
            return None
        bounds = {"application": name, "after": condition.after, "upto": head}
        # If nothing was appended since, there is nothing to look for.
        for part in condition.query.parts if condition.after < head else ():
            parameters = {**bounds, **part.parameters}
            found: int | None = executor.scalar(
                self.first_match(part.shape), parameters
            )
            if found is not None:
                return found
        for position, event in enumerate(new, head + 1):
            if position > condition.after and condition.query.matches(event):
                return position
        return None


def condition_fails(name: str, append: Append, found: int) -> IntegrityError:
    """The error for a condition that finds an event.

    Args:
        name: of the application.
        append: has the condition.
        found: position of the event.
    """
    after = append.condition.after if append.condition is not None else 0
    msg = (
        f"The append condition failed: it matches the event at position {found} of "
        f"application {name!r}, after {after}. Read again, and decide anew"
    )
    return IntegrityError(msg)


def event_rows(group: Sequence[Append]) -> list[tuple[str, bytes, str, UUID]]:
    """Type, data, tags (as text, as they were given) and append of each event."""
    return [
        (event.type, event.data, json.dumps(event.tags, ensure_ascii=False), append.id)
        for append in group
        for event in append.events
    ]


def tag_rows(group: Sequence[Append], first: int) -> list[tuple[str, int, str]]:
    """Tag, position and type, for each tag of an event.

    Args:
        group: the events.
        first: position of the first one.
    """
    events = (event for append in group for event in append.events)
    return [
        (tag, position, event.type)
        for position, event in enumerate(events, first)
        for tag in dict.fromkeys(event.tags)
    ]


def _insert(
    executor: Executor, taken: Taken, group: Sequence[Append], first: int
) -> None:
    application_id = taken.application_id
    rows = [
        (application_id, position, *row)
        for position, row in enumerate(event_rows(group), first)
    ]
    tags = [(application_id, *row) for row in tag_rows(group, first)]
    executor.execute_many(dcb.insert_dcb_event(), _EVENT, rows)
    if tags:
        executor.execute_many(dcb.insert_dcb_tag(), _TAG, tags)
