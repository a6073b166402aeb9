"""Applications, projections and runners, made as they are declared."""

from collections.abc import Iterator
from contextlib import contextmanager
from os import environ
from typing import Any

from eventsourcing_alchemy.host import (
    Environment,
    EventSourcedProjection,
    InfrastructureFactory,
)
from eventsourcing_alchemy.operations.declarations import Declaration
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.recorders.sql_recorder import sql_recorder
from eventsourcing_alchemy.runners.base_runner import BaseRunner
from eventsourcing_alchemy.runners.runner import (
    SQLAlchemyEventSourcedProjectionRunner,
    SQLAlchemyProjectionRunner,
)


def runner_of(declaration: Declaration) -> BaseRunner[Any]:
    """The runner of a projection, which begins to process events at once.

    Args:
        declaration: of the projection.

    Raises:
        ConfigurationError: if a class, or variable, cannot be used.
        PersistenceError: if the database fails.
    """
    arguments: dict[str, Any] = {
        "application_class": declaration.application_class,
        "projection_class": declaration.projection_class,
        "poison": declaration.poison,
        **declaration.options,
    }
    if declaration.is_event_sourced:
        return SQLAlchemyEventSourcedProjectionRunner(**arguments)
    return SQLAlchemyProjectionRunner(view_class=declaration.view_class, **arguments)


def recorder_of(runner: BaseRunner[Any]) -> SQLAlchemyTrackingRecorder:
    """The recorder of a runner's projection: its view, or that of an application."""
    projection: Any = runner._projection  # noqa: SLF001 (the host has no name for both)
    if isinstance(projection, EventSourcedProjection):
        return sql_recorder(projection.recorder)
    return sql_recorder(projection.view)


@contextmanager
def opened(declaration: Declaration) -> Iterator[tuple[Any, Any]]:
    """An application, and a projection of it that nobody runs.

    Args:
        declaration: of the projection.

    Yields:
        Both.

    Raises:
        ConfigurationError: if a class, or variable, cannot be used.
        PersistenceError: if the database fails.
    """
    with declaration.application_class() as application:
        if declaration.is_event_sourced:
            with declaration.projection_class() as projection:
                yield application, projection
            return
        env = Environment(declaration.projection_name, dict(environ))
        factory: InfrastructureFactory[Any] = InfrastructureFactory.construct(env)
        try:
            view = factory.tracking_recorder(declaration.view_class)
            yield application, declaration.projection_class(view)
        finally:
            factory.close()
