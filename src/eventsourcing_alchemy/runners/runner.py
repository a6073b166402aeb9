"""Runners of projections, for production."""

from typing import Any, TypeVar

from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.host import (
    EnvType,
    EventSourcedProjection,
    EventSourcedProjectionRunner,
    Projection,
    ProjectionRunner,
    TrackingRecorder,
)
from eventsourcing_alchemy.runners.base_runner import (
    BATCH_SIZE,
    FROZEN_AFTER,
    LEASE_DURATION,
    BaseRunner,
    TApplication,
)
from eventsourcing_alchemy.runners.poison_policy import PoisonPolicy

TView = TypeVar("TView", bound=TrackingRecorder)
TEventSourcedProjection = TypeVar(
    "TEventSourcedProjection", bound=EventSourcedProjection[Any]
)


class SQLAlchemyProjectionRunner(
    BaseRunner[TApplication], ProjectionRunner[TApplication, TView]
):
    """Runs a projection until you stop it.

    It does what the library's `ProjectionRunner` does, and more: it waits out database
    outages, lets any number of copies stand by on any machines, processes a backlog in
    batches, and can retry events that fail and pass over them.

    Args:
        application_class: the application whose events to process.
        projection_class: the projection that processes them.
        view_class: a materialised view, or tracking recorder, of this package.
        env: environment variables, in addition to those of the process.
        poison: what to do when an event cannot be processed. By default, the runner
            stops.
        lease_duration: seconds after which another copy takes over from a dead one.
            With None, copies compete for each event, and still process each once.
        frozen_after: seconds without progress after which `health()` says
            `is_frozen`.
        batch_size: the maximum number of events in one transaction. The runner may
            call `process_event()` again for an event if another event of its batch
            failed. With 1, each event has its own transaction.

    Raises:
        ConfigurationError: if an environment variable cannot be used.
        OperationalError: if the database cannot be reached.
        ProgrammingError: if an argument cannot be used.
    """

    @apart_from_sessions()
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
        self._configure(
            projection_class, env, poison, lease_duration, frozen_after, batch_size
        )
        super().__init__(
            application_class=application_class,
            projection_class=projection_class,
            view_class=view_class,
            env=env,
        )


class SQLAlchemyEventSourcedProjectionRunner(
    BaseRunner[TApplication],
    EventSourcedProjectionRunner[TApplication, TEventSourcedProjection],
):
    """Runs an event-sourced projection until you stop it.

    It does what the library's `EventSourcedProjectionRunner` does, and all that
    `SQLAlchemyProjectionRunner` does.

    Args:
        application_class: the application whose events to process.
        projection_class: the event-sourced projection that processes them.
        env: environment variables, in addition to those of the process.
        poison: as in `SQLAlchemyProjectionRunner`.
        lease_duration: as in `SQLAlchemyProjectionRunner`.
        frozen_after: as in `SQLAlchemyProjectionRunner`.
        batch_size: as in `SQLAlchemyProjectionRunner`. It is 1 if the projection
            caches aggregates or overrides `notify()`, because a rollback would not
            undo that.

    Raises:
        ConfigurationError: if an environment variable cannot be used.
        OperationalError: if the database cannot be reached.
        ProgrammingError: if an argument cannot be used.
    """

    @apart_from_sessions()
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
        self._configure(
            projection_class, env, poison, lease_duration, frozen_after, batch_size
        )
        super().__init__(
            application_class=application_class,
            projection_class=projection_class,
            env=env,
        )
