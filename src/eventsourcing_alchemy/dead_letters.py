"""Dead letters: events that a projection passed over, to be dealt with later."""

import logging
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from eventsourcing.application import Application
from eventsourcing.persistence import (
    PersistenceError,
    ProgrammingError,
    Tracking,
    TrackingRecorder,
)
from eventsourcing.projection import EventSourcedProjection, Projection
from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Insert,
    Select,
    Update,
    delete,
    insert,
    select,
    update,
)

from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.recorders.tracking import sql_recorder
from eventsourcing_alchemy.recorders.tracking_modes import Redoing, tracking_mode
from eventsourcing_alchemy.tables import dead_letters
from eventsourcing_alchemy.validation import LONGEST_TOPIC, checked_count, checked_name

logger = logging.getLogger("eventsourcing_alchemy")


@dataclass(frozen=True)
class DeadLetter:
    """An event that a projection could not process, and has passed over.

    Attributes:
        projection_name: of the projection.
        application_name: of the application that it follows.
        notification_id: the position of the event.
        topic: of the event.
        error: of the last attempt: type and message, up to `LONGEST_TEXT` characters.
        attempts: how often it was tried.
        recorded_at: when it was passed over, in UTC, by the database's clock.
    """

    projection_name: str
    application_name: str
    notification_id: int
    topic: str
    error: str
    attempts: int
    recorded_at: datetime

    @property
    def tracking(self) -> Tracking:
        """The application's name, and the position of the event."""
        return Tracking(self.application_name, self.notification_id)

    def __str__(self) -> str:
        return (
            f"the dead letter of projection {self.projection_name!r} for position "
            f"{self.notification_id} of {self.application_name!r}"
        )


class DeadLetters:
    """The dead letters of a projection.

    Args:
        recorder: the view, or process recorder, of the projection.

    Raises:
        ProgrammingError: if it is not one of this package.
    """

    def __init__(self, recorder: TrackingRecorder) -> None:
        self._recorder = sql_recorder(recorder)

    def record(
        self, tracking: Tracking, topic: str, error: BaseException, attempts: int
    ) -> None:
        """Passes over an event: records it as processed, and why it was not.

        Both in one transaction, which joins the caller's if there is one.

        Args:
            tracking: the application's name, and the position of the event.
            topic: of the event.
            error: why it could not be processed.
            attempts: how often it was tried.

        Raises:
            IntegrityError: if this position, or a higher one, is recorded already.
        """
        row = {
            "topic": checked_name("topic", topic, LONGEST_TOPIC),
            "error": text_of(error),
            "attempts": attempts,
        }
        with self._recorder.transaction() as connection:
            self._recorder.insert_tracking(tracking)
            # One of the same event is left where the projection began anew.
            key = _key(self._recorder.name, tracking)
            self._execute(connection, delete(dead_letters).where(*_has(key)))
            self._execute(connection, insert(dead_letters).values(key | row))

    def select(
        self, application_name: str | None = None, *, limit: int | None = None
    ) -> list[DeadLetter]:
        """The dead letters, in the order of applications and positions.

        Args:
            application_name: of the application whose events they are; None for all.
            limit: number of dead letters at the most.

        Raises:
            ProgrammingError: if the limit is negative.
        """
        columns = dead_letters.c
        statement = (
            select(dead_letters)
            .where(columns.projection_name == self._recorder.name)
            .order_by(columns.application_name, columns.notification_id)
            .limit(checked_count("limit", limit))
        )
        if application_name is not None:
            name = checked_name("The application's name", application_name)
            statement = statement.where(columns.application_name == name)
        with self._recorder.datastore.statement() as executor:
            rows = self._execute(executor.connection, statement).mappings()
            return [_letter(**row) for row in rows]

    def discard(self, letter: DeadLetter) -> None:
        """Forgets a dead letter: the event stays passed over.

        Joins the caller's transaction if there is one.

        Raises:
            ProgrammingError: if it is gone.
        """
        with self._recorder.transaction() as connection:
            self._delete(connection, letter)

    def retry(
        self,
        letter: DeadLetter,
        application: Application[Any],
        projection: Projection[Any] | EventSourcedProjection[Any],
    ) -> None:
        """Processes the event after all, and forgets the dead letter.

        Both in one transaction, which `projection.process_event()` joins. So the event
        has its effects once, whoever else tries the same. If it fails, the dead letter
        stays, with this error and one more attempt. (In a transaction of the caller's,
        which is rolled back then, it stays as it was.)

        The events that follow have been processed before this one, mostly.

        Args:
            letter: as selected.
            application: whose event it is.
            projection: is to process it.

        Raises:
            ProgrammingError: if the dead letter is gone: somebody else has retried or
                discarded it. If the event is gone. If the projection is to come to
                the event yet, because it began anew. If application or projection
                are not those of the dead letter.
            Exception: what `process_event()` raised.
        """
        _refuse_other(application, letter)
        view = self._view_of(projection, letter)
        is_deleted = False
        try:
            with self._recorder.transaction() as connection:
                _refuse_unless_passed(view, letter)
                self._delete(connection, letter)
                is_deleted = True
                event = _event_of(letter, application)
                with tracking_mode(connection, view.name, Redoing(letter.tracking)):
                    projection.process_event(event, letter.tracking)
        except Exception as error:
            if is_deleted and not self._recorder.datastore.is_in_transaction():
                self._count_attempt(letter, error)
            raise

    def _view_of(
        self,
        projection: Projection[Any] | EventSourcedProjection[Any],
        letter: DeadLetter,
    ) -> SQLAlchemyTrackingRecorder:
        if isinstance(projection, EventSourcedProjection):
            view: TrackingRecorder = projection.recorder
        else:
            view = projection.view
        if (
            isinstance(view, SQLAlchemyTrackingRecorder)
            and view.name == letter.projection_name
            and _place(view) == _place(self._recorder)
        ):
            return view
        msg = (
            f"{projection!r} cannot process {letter}: expected that projection, with a "
            f"view of the factory that has made the recorder of these dead letters"
        )
        raise ProgrammingError(msg)

    def _delete(self, connection: Connection, letter: DeadLetter) -> None:
        key = _key(letter.projection_name, letter.tracking)
        statement = delete(dead_letters).where(*_has(key))
        if not self._execute(connection, statement).rowcount:
            msg = f"Somebody else has retried or discarded {letter}"
            raise ProgrammingError(msg)

    def _count_attempt(self, letter: DeadLetter, error: Exception) -> None:
        key = _key(letter.projection_name, letter.tracking)
        values = {"attempts": dead_letters.c.attempts + 1, "error": text_of(error)}
        statement = update(dead_letters).where(*_has(key)).values(values)
        try:
            with self._recorder.transaction() as connection:
                self._execute(connection, statement)
        except PersistenceError as failure:
            # The error of the attempt is the one to be raised.
            logger.warning("Cannot count an attempt at %s: %s", letter, str(failure))

    def _execute(
        self, connection: Connection, statement: Select[Any] | Insert | Update | Delete
    ) -> CursorResult[Any]:
        options = self._recorder.datastore.options
        return connection.execute(statement, execution_options=options)


def _place(recorder: SQLAlchemyTrackingRecorder) -> object:
    return recorder.datastore.engine, recorder.datastore.settings.schema


def _key(projection_name: str, tracking: Tracking) -> dict[str, Any]:
    return {
        "projection_name": projection_name,
        "application_name": tracking.application_name,
        "notification_id": tracking.notification_id,
    }


def _has(key: dict[str, Any]) -> list[ColumnElement[bool]]:
    return [dead_letters.c[name] == value for name, value in key.items()]


def _letter(recorded_at: datetime, **values: Any) -> DeadLetter:
    is_naive = recorded_at.tzinfo is None
    in_utc = (
        recorded_at.replace(tzinfo=UTC) if is_naive else recorded_at.astimezone(UTC)
    )
    return DeadLetter(recorded_at=in_utc, **values)


def _refuse_unless_passed(view: SQLAlchemyTrackingRecorder, letter: DeadLetter) -> None:
    position = view.max_tracking_id(letter.application_name) or 0
    if position < letter.notification_id:
        msg = (
            f"Projection {view.name!r} is at position {position}, and comes to the "
            f"event by itself: discard {letter}"
        )
        raise ProgrammingError(msg)


def _refuse_other(application: Application[Any], letter: DeadLetter) -> None:
    if application.name != letter.application_name:
        msg = f"Application {application.name!r} cannot have the event of {letter}"
        raise ProgrammingError(msg)


def _event_of(letter: DeadLetter, application: Application[Any]) -> Any:
    position = letter.notification_id
    found = application.recorder.select_notifications(position, 1, stop=position)
    if not found:
        raise ProgrammingError(f"There is no event any more for {letter}")
    return application.mapper.to_domain_event(found[0])
