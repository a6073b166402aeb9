"""Copies of the projection: one works, the others stand by to take over."""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import cached_property
from itertools import groupby
from typing import cast

from eventsourcing.persistence import Tracking
from sqlalchemy import Connection, RootTransaction

from eventsourcing_alchemy import SQLAlchemyProjectionRunner, State
from git_history.application import GitHistory
from git_history.projection import GitActivityProjection
from git_history.view import GitActivity

BATCH = 500
"""Events that are counted in one transaction, at the most."""

MOMENT = 0.02
"""Seconds between two looks at how far a copy is."""


class ObservedActivity(GitActivity):
    """The view, which remembers how many events each transaction has counted."""

    @cached_property
    def _transactions(self) -> list[RootTransaction | None]:
        return []

    @contextmanager
    def processing(self, tracking: Tracking) -> Iterator[Connection]:
        """Process an event in the transaction that the runner may have begun."""
        with super().processing(tracking) as connection:
            yield connection
            self._transactions.append(connection.get_transaction())

    def batches(self) -> list[int]:
        """Return the number of events of each transaction, in their order."""
        return [len(list(same)) for _, same in groupby(self._transactions, key=id)]


Copy = SQLAlchemyProjectionRunner[GitHistory, GitActivity]


def start_copy() -> Copy:
    """Start a copy; it runs until the ``with`` block that it is given to ends."""
    return SQLAlchemyProjectionRunner(
        application_class=GitHistory,
        projection_class=GitActivityProjection,
        view_class=ObservedActivity,
        batch_size=BATCH,
    )


def wait_until_it_works(copy: Copy) -> None:
    """Wait until no other copy does the work, and raise what has ended this one."""
    while copy.health().state is State.STANDBY:
        copy.run_forever(timeout=MOMENT)


def batches(copy: Copy) -> list[int]:
    """Return the number of events of each transaction of this copy."""
    return cast("ObservedActivity", copy.view).batches()
