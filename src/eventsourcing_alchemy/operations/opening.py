"""Applications, projections and runners, made as they are declared."""

from collections.abc import Iterator
from contextlib import ExitStack, closing, contextmanager
from typing import Any

from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.environments import check_persistence_module, environment_of
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import (
    Environment,
    EnvType,
    EventSourcedProjection,
    InfrastructureFactory,
    PersistenceError,
)
from eventsourcing_alchemy.operations.declarations import Declaration
from eventsourcing_alchemy.operations.wrong_variables import reason_of
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
    application_class = declaration.application_class
    projection_class = declaration.projection_class
    arguments: dict[str, Any] = {
        "application_class": application_class,
        "projection_class": projection_class,
        "poison": declaration.poison,
        **declaration.options,
    }
    if not declaration.is_event_sourced:
        arguments["view_class"] = declaration.view_class
    runner_class: type[BaseRunner[Any]] = (
        SQLAlchemyEventSourcedProjectionRunner
        if declaration.is_event_sourced
        else SQLAlchemyProjectionRunner
    )
    with opening(application_class, projection_class):
        return runner_class(**arguments)


def recorder_of(runner: BaseRunner[Any]) -> SQLAlchemyTrackingRecorder:
    """The recorder of a runner's projection: its view, or that of an application."""
    projection: Any = runner._projection  # noqa: SLF001 (the host has no name for both)
    if isinstance(projection, EventSourcedProjection):
        return sql_recorder(projection.recorder)
    return sql_recorder(projection.view)


@contextmanager
def opened(declaration: Declaration) -> Iterator[tuple[Any, Any]]:
    """An application, and a projection of it that nobody runs.

    The block takes part in no session of the calling code's: nobody would commit it.

    Args:
        declaration: of the projection.

    Yields:
        Both.

    Raises:
        ConfigurationError: if a class, or variable, cannot be used.
        PersistenceError: if the database fails.
    """
    application_class = declaration.application_class
    projection_class = declaration.projection_class
    with ExitStack() as stack:
        stack.enter_context(apart_from_sessions())
        with opening(application_class, projection_class) as env:
            application = stack.enter_context(application_class())
            if declaration.is_event_sourced:
                projection = stack.enter_context(projection_class())
            else:
                factory: Any = InfrastructureFactory.construct(env)
                stack.enter_context(closing(factory))
                projection = projection_class(
                    factory.tracking_recorder(declaration.view_class)
                )
        yield application, projection


@contextmanager
def opening(
    application_class: type[Any],
    projection_class: type[Any],
    env: EnvType | None = None,
) -> Iterator[Environment]:
    """Says in one line why the block cannot open a projection and its application.

    Args:
        application_class: of the application.
        projection_class: of the projection.
        env: environment variables, in addition to those of the process.

    Yields:
        The variables of the projection.

    Raises:
        ConfigurationError: if a variable cannot be used.
        PersistenceError: if the database fails.
    """
    variables = environment_of(projection_class, env)
    check_persistence_module(variables)
    try:
        yield variables
    except (ConfigurationError, PersistenceError):
        raise
    except Exception as error:  # Whatever the library, or a constructor, raises.
        reason = reason_of(error, environment_of(application_class, env), variables)
        of = f"{projection_class.name!r} of {application_class.name!r}"
        msg = f"Projection {of} cannot be opened: {reason}"
        raise ConfigurationError(msg) from error
