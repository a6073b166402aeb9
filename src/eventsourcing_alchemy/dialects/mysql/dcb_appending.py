"""Conditions on what was committed last, and events that the server takes."""

from collections.abc import Sequence
from functools import cache
from typing import Any
from uuid import uuid4

from sqlalchemy import Select

from eventsourcing_alchemy.dialects.base.appending import Application
from eventsourcing_alchemy.dialects.base.dcb_appending import (
    Append,
    DCBAppending,
    event_rows,
)
from eventsourcing_alchemy.dialects.mysql.appending import MySQLAppending
from eventsourcing_alchemy.errors import no_application
from eventsourcing_alchemy.host import DCBEvent, IntegrityError
from eventsourcing_alchemy.statements import dcb
from eventsourcing_alchemy.statements.applications import last_position
from eventsourcing_alchemy.statements.executor import Executor


class MySQLDCBAppending(MySQLAppending, DCBAppending):
    """Checks conditions by reads that lock, and refuses too large events."""

    knows_rarest = True

    def append_dcb(
        self,
        executor: Executor,
        application: Application,
        append: Append,
        *,
        notify: bool,
    ) -> int | None:
        """Refuses too large events before it locks anything."""
        self._refuse_too_large_events(executor, [append])
        return super().append_dcb(executor, application, append, notify=notify)

    def append_dcb_group(
        self,
        executor: Executor,
        application: Application,
        group: Sequence[Append],
        *,
        notify: bool,
    ) -> Sequence[int | IntegrityError | None]:
        """Refuses too large events before it locks anything."""
        self._refuse_too_large_events(executor, group)
        return super().append_dcb_group(executor, application, group, notify=notify)

    def lock_positions(self, executor: Executor, application: Application) -> int:
        """By a read: many drivers do not count a row that an UPDATE leaves as it is.

        SQLAlchemy asks them to (`CLIENT.FOUND_ROWS`), creators of connections may not.
        """
        parameters = {"application": application.name}
        last = executor.scalar(_lock_statement(), parameters)
        if last is None:
            self.register(executor, application.name)
            last = executor.scalar(_lock_statement(), parameters)
        if last is None:
            raise no_application(application.name)
        return int(last)

    def first_match(self, shape: dcb.Shape) -> Select[Any]:
        """Looks at what was committed last, whatever the transaction has seen before.

        A caller's may be in REPEATABLE READ, in which other reads do not.
        """
        return dcb.first_match_locking(shape)

    def _refuse_too_large_events(
        self, executor: Executor, group: Sequence[Append]
    ) -> None:
        event = max((event for append in group for event in append.events), key=_size)
        if self.may_be_too_large(_size(event)):
            ((_, data, tags, _),) = event_rows([Append(uuid4(), [event], None)])
            beside = len(tags.encode())
            self.refuse_value(executor, f"event {event.type!r}", data, beside)


@cache
def _lock_statement() -> Select[Any]:
    return last_position().with_for_update()


def _size(event: DCBEvent) -> int:
    return len(event.data) + sum(map(len, event.tags))
