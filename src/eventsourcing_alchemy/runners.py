"""Runners of projections, for production."""

from contextlib import closing
from dataclasses import replace
from threading import Event
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import ReferenceType

from eventsourcing.persistence import (
    PersistenceError,
    ProgrammingError,
    TrackingRecorder,
)
from eventsourcing.projection import (
    ApplicationSubscription,
    BaseProjectionRunner,
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    Projection,
    ProjectionRunner,
)
from eventsourcing.utils import EnvType

from eventsourcing_alchemy.dead_letters import DeadLetters
from eventsourcing_alchemy.health import Health, Progress, State
from eventsourcing_alchemy.leases import Lease
from eventsourcing_alchemy.policies import PoisonPolicy
from eventsourcing_alchemy.recorders import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.recorders.tracking import sql_recorder
from eventsourcing_alchemy.sources import source_of
from eventsourcing_alchemy.workers import Worker

TApplication = TypeVar("TApplication")
TView = TypeVar("TView", bound=TrackingRecorder)
TEventSourcedProjection = TypeVar(
    "TEventSourcedProjection", bound=EventSourcedProjection[Any]
)

LEASE_DURATION = 5.0
"""Seconds after which a copy takes over from one that died."""

FROZEN_AFTER = 60.0
"""Seconds without progress, while there is work."""


BATCH_SIZE = 500
"""Events in a transaction, at the most."""


class _Runner(BaseProjectionRunner[TApplication]):
    """What the runners have in common."""

    _policy: PoisonPolicy
    _lease_duration: float | None
    _frozen_after: float
    _batch_size: int

    def _configure(
        self,
        poison: PoisonPolicy | None,
        lease_duration: float | None,
        frozen_after: float,
        batch_size: int,
    ) -> None:
        """Before the host's constructor, which starts to process events."""
        if not isinstance(poison, PoisonPolicy | None):
            raise ProgrammingError(f"poison is {poison!r}: expected a PoisonPolicy")
        for name, seconds in (
            ("lease_duration", lease_duration),
            ("frozen_after", frozen_after),
        ):
            if not isinstance(seconds, int | float | None):
                raise ProgrammingError(f"{name} is {seconds!r}: expected seconds")
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ProgrammingError(f"batch_size is {batch_size!r}: expected 1 or more")
        self._batch_size = batch_size
        self._policy = poison or PoisonPolicy()
        self._lease_duration = lease_duration
        self._frozen_after = frozen_after
        self._progress = Progress()
        self._health = Health(self._progress.state, None, None, 0, None, None, False)

    @property
    def dead_letters(self) -> DeadLetters:
        """The events that this projection has passed over."""
        return DeadLetters(self._sql_recorder)

    @property
    def _sql_recorder(self) -> SQLAlchemyTrackingRecorder:
        return sql_recorder(self._tracking_recorder)

    def health(self) -> Health:
        """How the projection is doing, asked of the database.

        Takes as long as the database takes to answer; while it is known to be out of
        reach, no time.
        """
        seen, outage = self._health, self._sql_recorder.datastore.outage
        if not outage.is_on:
            try:
                seen = self._measured()
            except PersistenceError as error:
                self._progress.noted(error)
        self._health = replace(
            seen,
            state=self._state(),
            last_error=outage.reason if outage.is_on else self._progress.last_error,
            is_frozen=self._is_frozen(seen),
        )
        return self._health

    def _is_frozen(self, seen: Health) -> bool:
        """Whether an event takes too long, or nobody has come to it."""
        after, progress = self._frozen_after, self._progress
        is_waiting = (seen.lag_seconds or 0) >= after and progress.still_for() >= after
        is_left = is_waiting and not progress.is_idle
        return seen.lag > 0 and (is_left or progress.busy_for() >= after)

    def _measured(self) -> Health:
        position = self._tracking_recorder.max_tracking_id(self.app_name)
        self._progress.reached(position)
        recorder = cast("Any", self.app).recorder
        last_position: int | None = recorder.max_notification_id()
        lag = max(0, (last_position or 0) - (position or 0))
        lag_seconds: float | None = None if lag else 0.0
        if lag and isinstance(recorder, SQLAlchemyApplicationRecorder):
            lag_seconds = recorder.reader.age((position or 0) + 1)
        return replace(
            self._health,
            position=position,
            last_position=last_position,
            lag=lag,
            lag_seconds=lag_seconds,
        )

    def _state(self) -> State:
        state = self._progress.state
        if state is State.FAILED:
            return state
        if self._is_interrupted.is_set():
            return State.STOPPED
        return State.RETRYING if self._sql_recorder.datastore.outage.is_on else state

    def _work(
        self,
        subscription: ApplicationSubscription[Any],
        projection: Projection[Any] | EventSourcedProjection[Any],
        stopping: Event,
    ) -> Worker:
        recorder, name = self._sql_recorder, subscription.name
        lease = (
            Lease(
                recorder.datastore, recorder.name, name, duration=self._lease_duration
            )
            if self._lease_duration is not None
            else None
        )
        return Worker(
            projection,
            recorder,
            name,
            subscription.mapper,
            self._policy,
            lease,
            self._progress,
            stopping,
            self._batch_size,
        )

    def stop(self) -> None:
        """Ends the work; signal handlers may call it, also within each other."""
        # The host sets an Event, which waits for itself if it is interrupted in that.
        if not self._has_called_stop:
            super().stop()

    @staticmethod
    def _process_events_loop(
        subscription: ApplicationSubscription[Any],
        projection: Projection[Any] | EventSourcedProjection[Any],
        is_stopping: Event,
        runner: ReferenceType[Any],
    ) -> None:
        """Lets the host's loop process what the worker gives it."""
        owner = runner()
        if owner is None:  # It is gone already.
            return
        try:
            worker = owner._work(subscription, projection, is_stopping)  # noqa: SLF001
        except Exception as error:
            owner._progress.failed(error, State.FAILED)  # noqa: SLF001
            owner._thread_error = error  # noqa: SLF001
            is_stopping.set()
            return
        del owner  # Its thread must not keep it.
        # Closed, because the traceback of an error would keep it, and the lease.
        with closing(worker.events(source_of(subscription.subscription))) as events:
            BaseProjectionRunner._process_events_loop(  # noqa: SLF001
                subscription=cast("Any", events),
                projection=cast("Any", worker),
                is_stopping=is_stopping,
                runner=runner,
            )

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_val: BaseException | None,
        exc_tb: TracebackType | None,
    ) -> None:
        """Stops the runner, waits for the event in progress, and frees what it holds.

        Raises:
            Exception: that has ended the runner, unless it was raised before.
        """
        self.stop()
        # Before the host closes what the thread uses.
        self._processing_thread.join()
        super().__exit__(exc_type, exc_val, exc_tb)


class SQLAlchemyProjectionRunner(
    _Runner[TApplication], ProjectionRunner[TApplication, TView]
):
    """Runs a projection until it is told to stop.

    As the host's `ProjectionRunner`; in addition, outages of the database are waited
    for, any number of copies may run at the same time, anywhere, and events that fail
    can be tried again and passed over.

    Args:
        application_class: whose events are to be processed.
        projection_class: processes them.
        view_class: a materialised view, or tracking recorder, of this package.
        env: variables of the environment, beside those of the process.
        poison: what to do about an event that cannot be processed. Default: to stop.
        lease_duration: seconds after which another copy takes over from one that has
            died. None to have copies compete for each event: each is processed once
            then, too.
        frozen_after: seconds without progress after which `health()` says so.
        batch_size: number of events that are processed in one transaction, at the
            most, when they are there already. `process_event()` may be called again for
            events of a batch that was rolled back because of another one. 1 gives each
            its own transaction.
    """

    def __init__(
        self,
        *,
        application_class: type[TApplication],
        projection_class: type[Projection[TView]],
        view_class: type[TView],
        env: EnvType | None = None,
        poison: PoisonPolicy | None = None,
        lease_duration: float | None = LEASE_DURATION,
        frozen_after: float = FROZEN_AFTER,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._configure(poison, lease_duration, frozen_after, batch_size)
        super().__init__(
            application_class=application_class,
            projection_class=projection_class,
            view_class=view_class,
            env=env,
        )


class SQLAlchemyEventSourcedProjectionRunner(
    _Runner[TApplication],
    EventSourcedProjectionRunner[TApplication, TEventSourcedProjection],
):
    """Runs an event-sourced projection until it is told to stop.

    As the host's `EventSourcedProjectionRunner`; in addition, it does what
    `SQLAlchemyProjectionRunner` does.

    Args:
        application_class: whose events are to be processed.
        projection_class: processes them.
        env: variables of the environment, beside those of the process.
        poison: as in `SQLAlchemyProjectionRunner`.
        lease_duration: as in `SQLAlchemyProjectionRunner`.
        frozen_after: as in `SQLAlchemyProjectionRunner`.
        batch_size: as in `SQLAlchemyProjectionRunner`; 1 where aggregates are cached,
            or `notify()` is overridden, because a rollback would not undo that.
    """

    def __init__(
        self,
        *,
        application_class: type[TApplication],
        projection_class: type[TEventSourcedProjection],
        env: EnvType | None = None,
        poison: PoisonPolicy | None = None,
        lease_duration: float | None = LEASE_DURATION,
        frozen_after: float = FROZEN_AFTER,
        batch_size: int = BATCH_SIZE,
    ) -> None:
        self._configure(poison, lease_duration, frozen_after, batch_size)
        super().__init__(
            application_class=application_class,
            projection_class=projection_class,
            env=env,
        )
