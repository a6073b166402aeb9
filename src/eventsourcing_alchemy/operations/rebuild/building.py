"""Processing events into the new tables, in batches, up to a position."""

from collections.abc import Callable, Sequence
from contextlib import closing
from threading import Event
from typing import Any, TypeVar

from eventsourcing_alchemy.database.retrying import Endurance
from eventsourcing_alchemy.database.sole_writer import BesideViewError, sole_writer
from eventsourcing_alchemy.errors import TransientError, text_of
from eventsourcing_alchemy.host import (
    Notification,
    OperationalError,
    Projection,
    Tracking,
)
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.patience import Patience
from eventsourcing_alchemy.operations.rebuild.view_in_use import AnyApplication
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.runners.base_runner import BATCH_SIZE
from eventsourcing_alchemy.runners.history import (
    History,
    ReadPage,
    mapper_in,
    reader_of,
)
from eventsourcing_alchemy.runners.lease import Lease
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy
from eventsourcing_alchemy.runners.processing import process_event
from eventsourcing_alchemy.runners.worker import Worker

T = TypeVar("T")

_ONCE_MORE = (
    "process_event() records events, or writes by another recorder than its view, and "
    "a rebuild would have it do that once more: do it in a projection of its own, "
    "which is not rebuilt"
)

CLOSER = 3
"""Times to follow the view in use, each of them closer, where events fail."""


class Building:
    """Has the projection process events into a new view.

    Args:
        view: the new one.
        projection_class: of the projection.
        application: whose events it processes.
        policy: for events that cannot be processed.
        lease: of the rebuild, which ends when it is lost.
        told: is told each position that was reached.
        patience: bears errors that heal.
    """

    def __init__(
        self,
        view: NewView,
        projection_class: type[Projection[Any]],
        application: AnyApplication,
        policy: PoisonPolicy,
        lease: Lease,
        told: Callable[[int], None],
        patience: Patience,
    ) -> None:
        self._view = view.view
        self._patience = patience
        self._projection: Any = projection_class(view=self._view)
        self._name = application.name
        self._mapper = mapper_in(application)
        self._policy = policy
        self._lease = lease
        self._told = told
        read = reader_of(application, self._projection.topics)
        self._has_failed = False
        self._endurance = _endurance_of(application)
        self._read: ReadPage = lambda gt, stop: self._enduring(lambda: read(gt, stop))

    @property
    def position(self) -> int:
        """Up to which events have been processed."""
        return self._view.max_tracking_id(self._name) or 0

    def up_to(self, goal: int) -> None:
        """Processes events in batches, as a runner does.

        Args:
            goal: position of the last one.

        Raises:
            Exception: what is wrong with an event, if the policy is to stop.
            OperationalError: if another rebuild has the lease.
        """
        stopping = Event()
        worker = self._worker(stopping)
        source = History(self._read, goal, stopping.set)
        events: Any = worker.events(source)
        with closing(events):
            for notifications, tracking in events:
                self.require_lease()
                worker.process_event(notifications, tracking)
                self._told(tracking.notification_id)
        if self.position < goal:
            # The rest is of no interest to the projection.
            self._view.insert_tracking(Tracking(self._name, goal))

    def rest(self, goal: int) -> None:
        """Processes the last events, in a transaction of the caller's.

        Args:
            goal: position of the last one.

        Raises:
            TransientError: if one fails. Then `deal_with_failed()`, and try again.
        """
        self._has_failed = True
        position = self.position
        while found := self._read(position, goal):
            for notification in found:
                self._process(notification)
                position = notification.id
        if self.position < goal:
            self._view.insert_tracking(Tracking(self._name, goal))
        self._has_failed = False

    def deal_with_failed(self, position: Callable[[], int]) -> None:
        """Has the policy decide, if an event has failed in `rest()`.

        More such events may come. Each that is left to the switch costs another try,
        and the pause before it.

        Args:
            position: tells that of the view in use.

        Raises:
            Exception: as `up_to()`.
        """
        if self._has_failed:
            for _ in range(CLOSER):
                self.up_to(position())

    def _process(self, notification: Notification) -> None:
        tracking = Tracking(self._name, notification.id)
        try:
            event = self._mapper.to_domain_event(notification)
            with sole_writer(self._view.datastore.engine, _ONCE_MORE):
                process_event(self._projection, event, tracking)
        except BesideViewError:
            raise
        except Exception as error:
            raise TransientError(text_of(error)) from error

    def require_lease(self) -> None:
        """Makes sure that no other rebuild of the view has begun.

        Raises:
            OperationalError: if it may have.
        """
        if not self._lease.is_held:
            msg = f"Lost {self._lease}: another rebuild may have taken it. Try again"
            raise OperationalError(msg)

    def _worker(self, stopping: Event) -> Worker:
        return _Rebuilder(
            self._projection,
            self._view,
            self._name,
            self._mapper,
            self._policy,
            None,
            self._patience,
            stopping,
            BATCH_SIZE,
            is_private=True,
        )

    def _enduring(
        self, read: Callable[[], Sequence[Notification]]
    ) -> Sequence[Notification]:
        if self._endurance is None:
            return read()
        return self._endurance.call(read) or ()


class _Rebuilder(Worker):
    """Lets a projection write to nothing but its view."""

    def _process(self, notification: Notification) -> None:
        with sole_writer(self._recorder.datastore.engine, _ONCE_MORE):
            super()._process(notification)


def _endurance_of(application: AnyApplication) -> Endurance | None:
    recorder: Any = application.recorder
    if not isinstance(recorder, SQLAlchemyRecorder):
        return None
    store, never = recorder.datastore, Event()
    # In the transaction of a switch, too, which is begun again if it is lost.
    is_part = store.is_inside_block
    return Endurance(store.dialect, store.outage, never.wait, never.is_set, is_part)
