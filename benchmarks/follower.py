"""What there is to run a projection where there are no subscriptions."""

from threading import Event, Thread
from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import InfrastructureFactory, Tracking, TrackingRecorder
from eventsourcing.projection import Projection
from eventsourcing.utils import Environment, EnvType


class Follower:
    """Processes events in a thread, which is told when there are some.

    As fast as a thread can be: it never has to poll. Only `wait()` is the host's.
    """

    def __init__(
        self,
        *,
        application_class: type[Application[Any]],
        projection_class: type[Projection[Any]],
        view_class: type[TrackingRecorder],
        env: EnvType,
    ) -> None:
        self.app = application_class(env=env)
        environment = Environment(projection_class.name, env)
        self._factory: Any = InfrastructureFactory.construct(environment)
        self._view = self._factory.tracking_recorder(view_class)
        self._projection = projection_class(self._view)
        self._is_told = Event()
        self._is_over = False
        self._thread = Thread(target=self._follow)

    def __enter__(self) -> "Follower":
        """Starts the thread."""
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        """Ends it."""
        self._is_over = True
        self._is_told.set()
        self._thread.join()

    def wait(self, notification_id: int, timeout: float) -> None:
        """Tells the thread, and waits until the event is in the view."""
        self._is_told.set()
        self._view.wait(self.app.name, notification_id, timeout)

    def _follow(self) -> None:
        position = 0
        while self._is_told.wait() and not self._is_over:
            self._is_told.clear()
            recorder = self.app.recorder
            for each in recorder.select_notifications(position + 1, 100):
                event = self.app.mapper.to_domain_event(each)
                tracking = Tracking(self.app.name, each.id)
                self._projection.process_event(event, tracking)
                position = each.id
