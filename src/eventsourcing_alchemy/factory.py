"""From environment variables to recorders."""

from typing import Any, TypeVar, overload

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import ScopedSessionDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import (
    Application,
    DCBInfrastructureFactory,
    Environment,
    EnvType,
    InfrastructureFactory,
    TopicError,
    resolve_topic,
)
from eventsourcing_alchemy.recorders import (
    SQLAlchemyAggregateRecorder,
    SQLAlchemyApplicationRecorder,
    SQLAlchemyProcessRecorder,
    SQLAlchemyTrackingRecorder,
)
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.recorders.dcb import SQLAlchemyDCBRecorder
from eventsourcing_alchemy.recorders.registered import RegisteredRecorder
from eventsourcing_alchemy.settings import Settings, Variables

R = TypeVar("R", bound=SQLAlchemyRecorder)
A = TypeVar("A", bound=RegisteredRecorder)
B = TypeVar("B", bound=SQLAlchemyApplicationRecorder)
T = TypeVar("T", bound=SQLAlchemyTrackingRecorder)


class SQLAlchemyFactory(
    InfrastructureFactory[SQLAlchemyTrackingRecorder],
    DCBInfrastructureFactory[SQLAlchemyTrackingRecorder],
):
    """Makes the recorders of one application or projection.

    The library finds it in the module that `PERSISTENCE_MODULE` names.

    Args:
        env: the environment variables, and the name of the application or projection.

    Raises:
        ConfigurationError: if a variable has a value that cannot be used.
    """

    CREATE_TABLE = "CREATE_TABLE"
    CREATE_VIEW_TABLE = "CREATE_VIEW_TABLE"

    aggregate_recorder_class: type[SQLAlchemyAggregateRecorder] = (
        SQLAlchemyAggregateRecorder
    )
    application_recorder_class: type[SQLAlchemyApplicationRecorder] = (
        SQLAlchemyApplicationRecorder
    )
    tracking_recorder_class: type[SQLAlchemyTrackingRecorder] = (
        SQLAlchemyTrackingRecorder
    )
    process_recorder_class: type[SQLAlchemyProcessRecorder] = SQLAlchemyProcessRecorder

    def __init__(self, env: Environment | EnvType | None) -> None:
        super().__init__(env)
        settings = Settings.from_env(self.env)
        takes_part = settings.scoped_session_topic is not None
        datastore_class = ScopedSessionDatastore if takes_part else SQLAlchemyDatastore
        self.datastore = datastore_class(settings)

    def aggregate_recorder(
        self, purpose: str = "events"
    ) -> SQLAlchemyAggregateRecorder:
        """Returns a recorder of events or snapshots without positions.

        Args:
            purpose: keeps these records apart from those of other purposes.
        """
        return self._registered(
            self.aggregate_recorder_class(
                self.datastore, name=self.env.name, purpose=purpose
            )
        )

    def application_recorder(self) -> SQLAlchemyApplicationRecorder:
        """Returns the recorder of an application's events."""
        recorder_class = self._class(
            self.APPLICATION_RECORDER_TOPIC, self.application_recorder_class
        )
        return self._of_application(recorder_class(self.datastore, name=self.env.name))

    @overload
    def tracking_recorder(self, tracking_recorder_class: type[T]) -> T: ...

    @overload
    def tracking_recorder(
        self, tracking_recorder_class: type[SQLAlchemyTrackingRecorder] | None = None
    ) -> SQLAlchemyTrackingRecorder: ...

    def tracking_recorder(
        self,
        tracking_recorder_class: type[SQLAlchemyTrackingRecorder] | None = None,
    ) -> SQLAlchemyTrackingRecorder:
        """Returns the recorder of a projection's positions, or its view.

        Args:
            tracking_recorder_class: the class of the view.
        """
        recorder_class = tracking_recorder_class or self._class(
            self.TRACKING_RECORDER_TOPIC, self.tracking_recorder_class
        )
        return self._ready(recorder_class(self.datastore, name=self.env.name))

    def process_recorder(self) -> SQLAlchemyProcessRecorder:
        """Returns the recorder of a follower or event-sourced projection."""
        recorder_class = self._class(
            self.PROCESS_RECORDER_TOPIC, self.process_recorder_class
        )
        return self._of_application(recorder_class(self.datastore, name=self.env.name))

    def dcb_recorder(self) -> SQLAlchemyDCBRecorder:
        """Returns the recorder of an application with events that have tags."""
        return self._registered(SQLAlchemyDCBRecorder(self.datastore, self.env.name))

    def env_create_table(self) -> bool:
        """Whether missing tables are to be created."""
        return Variables(self.env).boolean(self.CREATE_TABLE) is not False

    def env_create_view_table(self) -> bool:
        """Whether those of recorders' `metadata` are to be created, too."""
        given = Variables(self.env).boolean(self.CREATE_VIEW_TABLE)
        return self.env_create_table() if given is None else given

    def close(self) -> None:
        """Ends the use of the database by all recorders of this factory."""
        self.datastore.close()

    def _class(self, variable: str, default: type[R]) -> type[R]:
        topic = self.env.get(variable)
        return _resolve(variable, topic, default) if topic else default

    def _of_application(self, recorder: B) -> B:
        caches = bool(self.env.get(Application.AGGREGATE_CACHE_MAXSIZE))
        recorder.caches_aggregates = caches
        return self._registered(recorder)

    def _registered(self, recorder: A) -> A:
        self._ready(recorder).register()
        return recorder

    def _ready(self, recorder: R) -> R:
        creates, creates_own = self.env_create_table(), self.env_create_view_table()
        if creates:
            recorder.create_table(of_metadata=creates_own)
        if not (creates and creates_own):
            recorder.check_table()
        return recorder


def _resolve(variable: str, topic: str, base: type[R]) -> type[R]:
    try:
        resolved: Any = resolve_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"{variable}: {error}") from error
    if not isinstance(resolved, type) or not issubclass(resolved, base):
        msg = f"{variable}: {topic!r} is not a subclass of {base.__name__}"
        raise ConfigurationError(msg)
    return resolved
