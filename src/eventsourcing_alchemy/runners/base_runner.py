"""What the runners of projections have in common."""

from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack, closing, nullcontext
from dataclasses import replace
from os import register_at_fork
from threading import Event
from types import TracebackType
from typing import Any, TypeVar, cast
from weakref import ReferenceType, WeakSet

from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.environments import check_persistence_module, environment_of
from eventsourcing_alchemy.host import (
    ApplicationSubscription,
    BaseProjectionRunner,
    DCBApplicationSubscription,
    DCBRecorder,
    EnvType,
    EventSourcedProjection,
    PersistenceError,
    ProgrammingError,
    Projection,
)
from eventsourcing_alchemy.recorders import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.recorders.dcb import SQLAlchemyDCBRecorder
from eventsourcing_alchemy.recorders.sql_recorder import sql_recorder
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.runners.event_source import (
    EventSource,
    event_source_of,
    last_position_of,
    mapper_of,
)
from eventsourcing_alchemy.runners.health import Health, Progress, State
from eventsourcing_alchemy.runners.lease import Lease, checked_duration
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy
from eventsourcing_alchemy.runners.refused_queries import chosen_events, refuses
from eventsourcing_alchemy.runners.worker import Worker

TApplication = TypeVar("TApplication")

LEASE_DURATION = 5.0
"""Seconds after which a copy takes over from one that died."""

FROZEN_AFTER = 60.0
"""Seconds without progress, while there is work."""


BATCH_SIZE = 500
"""Events in a transaction, at the most."""


_runners: WeakSet["BaseRunner[Any]"] = WeakSet()
"""Of this process."""


class BaseRunner(BaseProjectionRunner[TApplication]):
    """What the runners have in common."""

    _is_inherited = False

    _policy: PoisonPolicy
    _lease_duration: float | None
    _frozen_after: float
    _batch_size: int

    def _configure(
        self,
        projection_class: type[Any],
        env: EnvType | None,
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
        if lease_duration is not None:
            checked_duration("lease_duration", lease_duration)
        if not isinstance(batch_size, int) or batch_size < 1:
            raise ProgrammingError(f"batch_size is {batch_size!r}: expected 1 or more")
        check_persistence_module(environment_of(projection_class, env))
        self._batch_size = batch_size
        self._policy = poison or PoisonPolicy()
        self._lease_duration = lease_duration
        self._frozen_after = frozen_after
        self._progress = Progress()
        self._health = Health(self._progress.state, None, None, 0, None, None, False)
        _runners.add(self)

    @property
    def dead_letters(self) -> DeadLetters:
        """The events that this projection has passed over."""
        return DeadLetters(self._sql_recorder)

    @property
    def _sql_recorder(self) -> SQLAlchemyTrackingRecorder:
        return sql_recorder(self._tracking_recorder)

    def health(self) -> Health:
        """Asks the database how the projection is doing.

        You may call it from any thread. It takes as long as the database takes to
        answer. During a known outage, it returns the last known values at once.
        """
        outage = self._sql_recorder.datastore.outage
        seen = replace(self._health, is_stale=True)
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

    @apart_from_sessions()
    def _measured(self) -> Health:
        position = self._tracking_recorder.max_tracking_id(self.app_name)
        self._progress.reached(position)
        recorder = cast("Any", self.app).recorder
        last_position = last_position_of(recorder)
        lag = max(0, (last_position or 0) - (position or 0))
        lag_seconds: float | None = None if lag else 0.0
        if lag and isinstance(
            recorder, SQLAlchemyApplicationRecorder | SQLAlchemyDCBRecorder
        ):
            first_left = (position or 0) + 1
            lag_seconds = recorder.datastore.retrying(
                lambda: recorder.reader.age(first_left)
            )
        return replace(
            self._health,
            position=position,
            last_position=last_position,
            lag=lag,
            lag_seconds=lag_seconds,
            is_stale=False,
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
        subscription: ApplicationSubscription[Any] | DCBApplicationSubscription,
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
            mapper_of(subscription),
            self._policy,
            lease,
            self._progress,
            stopping,
            self._batch_size,
        )

    def _source(
        self,
        subscription: ApplicationSubscription[Any] | DCBApplicationSubscription,
        topics: Sequence[str],
        stopping: Event,
    ) -> AbstractContextManager[EventSource]:
        recorder = subscription.recorder
        if isinstance(recorder, DCBRecorder) and refuses(recorder, topics):
            after = self._tracking_recorder.max_tracking_id(self.app_name)
            return chosen_events(recorder, topics, after, stopping)
        return nullcontext(event_source_of(subscription.subscription))

    def stop(self) -> None:
        """Stops the runner after the event in progress.

        You may call it from any thread, and from signal handlers.
        """
        # The host sets an Event, which waits for itself if it is interrupted in that.
        if not self._has_called_stop:
            super().stop()

    def fail_in_child(self) -> None:
        """Has a forked child hear that its copy of the runner does nothing."""
        self._is_inherited = True
        if self._is_interrupted.is_set():
            return
        error = ProgrammingError(
            "The runner works in the process that this one was forked from: threads do "
            "not pass a fork. Construct a runner after the fork"
        )
        self._progress.failed(error, State.FAILED)
        self._thread_error = error
        # Another one: a thread of the parent may have held its lock.
        self._is_interrupted = Event()
        self._is_interrupted.set()

    @staticmethod
    @apart_from_sessions()
    def _process_events_loop(
        subscription: ApplicationSubscription[Any] | DCBApplicationSubscription,
        projection: Projection[Any] | EventSourcedProjection[Any],
        is_stopping: Event,
        runner: ReferenceType[Any],
    ) -> None:
        """Lets the host's loop process what the worker gives it."""
        owner = runner()
        if owner is None:  # It is gone already.
            return
        with ExitStack() as stack:
            try:
                worker = owner._work(subscription, projection, is_stopping)  # noqa: SLF001
                source = stack.enter_context(
                    owner._source(subscription, projection.topics, is_stopping)  # noqa: SLF001
                )
            except Exception as error:
                owner._progress.failed(error, State.FAILED)  # noqa: SLF001
                owner._thread_error = error  # noqa: SLF001
                is_stopping.set()
                return
            del owner  # Its thread must not keep it.
            # Closed, because the traceback of an error would keep it, and the lease.
            events = stack.enter_context(closing(worker.events(source)))
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
        """Stops the runner, waits for the event in progress, closes the application.

        The view stays open: `runner.view.datastore.close()` closes its connections.

        Raises:
            Exception: that has ended the runner, unless it was raised before.
        """
        if self._is_inherited:
            self._thread_error = None  # Whoever leaves the block asks for nothing.
        self.stop()
        # Before the host closes what the thread uses.
        self._processing_thread.join()
        super().__exit__(exc_type, exc_val, exc_tb)


def _in_child() -> None:
    for runner in list(_runners):
        runner.fail_in_child()


register_at_fork(after_in_child=_in_child)
