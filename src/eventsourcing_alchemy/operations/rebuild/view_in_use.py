"""The view that is in use: whose tables, and whose position."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, closing, contextmanager
from typing import Any, NamedTuple, TypeVar

from sqlalchemy import Connection

from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    EventSourcedProjection,
    InfrastructureFactory,
    ProgrammingError,
    Projection,
)
from eventsourcing_alchemy.operations.opening import opening
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.runners.event_source import last_position_of
from eventsourcing_alchemy.views import SQLAlchemyMaterialisedView

T = TypeVar("T")

AnyApplication = Application[Any] | DCBApplication
ViewClass = type[SQLAlchemyMaterialisedView]


class ViewInUse(NamedTuple):
    """A projection and the application that it follows.

    Attributes:
        recorder: of the projection's position.
        application: whose events it processes.
        view_class: declares the tables.
    """

    recorder: SQLAlchemyTrackingRecorder
    application: AnyApplication
    view_class: ViewClass

    def __str__(self) -> str:
        return f"projection {self.recorder.name!r} of {self.application.name!r}"

    @property
    def position(self) -> int | None:
        """Up to which events have been processed; None before the first."""
        return self.recorder.max_tracking_id(self.application.name)

    @property
    def last_position(self) -> int:
        """Of the last event of the application."""
        return last_position_of(self.application.recorder) or 0

    def found(self, look: Callable[[Connection], T]) -> T:
        """What a function finds, which is tried again if the connection is lost.

        Args:
            look: to be called with a connection for queries.
        """

        def attempt() -> T:
            with self.recorder.reading() as connection:
                return look(connection)

        return self.recorder.datastore.retrying(attempt)


@contextmanager
def view_in_use(
    application_class: type[AnyApplication],
    projection_class: type[Projection[Any]],
    view_class: ViewClass,
    env: Mapping[str, str] | None,
) -> Iterator[ViewInUse]:
    """Opens what a runner of the projection would open.

    Raises:
        ConfigurationError: if a variable cannot be used.
        ProgrammingError: if it is not a projection into a view of this package.
    """
    _refuse_others(projection_class, view_class)
    variables: Any = env
    with ExitStack() as stack:
        with opening(application_class, projection_class, variables) as environment:
            factory: Any = InfrastructureFactory.construct(environment)
            stack.enter_context(closing(factory))
            application = stack.enter_context(closing(application_class(variables)))
            recorder = factory.tracking_recorder(SQLAlchemyTrackingRecorder)
        yield ViewInUse(recorder, application, view_class)


def _refuse_others(projection_class: type[Any], view_class: type[Any]) -> None:
    if issubclass(projection_class, EventSourcedProjection):
        msg = (
            f"{projection_class.__name__} keeps its state in events, so there is no "
            "view to rebuild: give the projection another name, run it beside this "
            "one, and let its readers use the new name when it has caught up"
        )
        raise ProgrammingError(msg)
    if not issubclass(view_class, SQLAlchemyMaterialisedView):
        msg = (
            f"{view_class.__name__} is not a SQLAlchemyMaterialisedView, so its "
            "tables are unknown: delete its rows and its position yourself"
        )
        raise ProgrammingError(msg)
    if view_class.metadata is None or not view_class.metadata.tables:
        msg = f"{view_class.__name__} has no tables in its metadata: declare them there"
        raise ProgrammingError(msg)
