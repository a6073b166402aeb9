"""Dead letters: events that a projection passed over, to be dealt with later."""

import logging
from collections.abc import Callable
from typing import Any
from uuid import UUID

from sqlalchemy import (
    ColumnElement,
    Connection,
    CursorResult,
    Delete,
    Insert,
    Select,
    Update,
    delete,
    func,
    insert,
    select,
    update,
)

from eventsourcing_alchemy.errors import storable
from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    EventSourcedProjection,
    PersistenceError,
    Projection,
    Tracking,
    TrackingRecorder,
)
from eventsourcing_alchemy.recorders.sql_recorder import sql_recorder
from eventsourcing_alchemy.recorders.tracking_modes import Redoing, tracking_mode
from eventsourcing_alchemy.runners.dead_letter_checks import (
    event_of,
    refuse_in_switch,
    refuse_other,
    refuse_unless_passed,
    view_of,
)
from eventsourcing_alchemy.runners.dead_letter_rows import (
    DeadLetter,
    GoneError,
    has,
    key_of,
    letter_of,
)
from eventsourcing_alchemy.runners.failure_texts import FailureTexts
from eventsourcing_alchemy.runners.private_cache import caching_apart
from eventsourcing_alchemy.runners.processing import process_event
from eventsourcing_alchemy.schema.tables import dead_letters
from eventsourcing_alchemy.schema.validation import (
    LONGEST_NAME,
    LONGEST_TOPIC,
    checked_limit,
    checked_name,
)

logger = logging.getLogger("eventsourcing_alchemy")


class DeadLetters:
    """The dead letters of a projection.

    Args:
        recorder: the view, or process recorder, of the projection.

    Raises:
        ProgrammingError: if the recorder does not belong to this package.
    """

    def __init__(self, recorder: TrackingRecorder) -> None:
        self._recorder = sql_recorder(recorder)
        self._texts = FailureTexts(self._recorder.datastore)

    def record(
        self,
        tracking: Tracking,
        topic: str,
        error: BaseException,
        attempts: int,
        *,
        is_tracked: bool = False,
        originator_id: UUID | str | None = None,
        originator_version: int | None = None,
    ) -> None:
        """Passes over an event: records it as processed, and why it was not.

        Both in one transaction, which joins the caller's if there is one.

        Args:
            tracking: the application's name, and the position of the event.
            topic: of the event.
            error: why it could not be processed.
            attempts: how often it was tried.
            is_tracked: whether a part of it was done, which has recorded the position.
            originator_id: of the event's aggregate, None for none. One of more than
                255 characters is left out.
            originator_version: of the event in its aggregate, None for none.

        Raises:
            IntegrityError: if this position, or a higher one, is recorded already.
        """
        row = {
            "topic": checked_name("topic", topic, LONGEST_TOPIC),
            "error": self._texts.message(error),
            "attempts": attempts,
        }
        details = {
            "traceback": self._texts.traceback(error),
            "originator_id": _short_text(originator_id),
            "originator_version": originator_version,
        }
        key = key_of(self._recorder.name, tracking)
        self._recorder.datastore.retrying(
            lambda: self._record(None if is_tracked else tracking, key, row | details),
            lambda: self._is_there(key | row) or None,
        )

    def _record(
        self, tracking: Tracking | None, key: dict[str, Any], row: dict[str, Any]
    ) -> bool:
        with self._recorder.transaction() as connection:
            if tracking is not None:
                self._recorder.insert_tracking(tracking)
            # One of the same event is left where the projection began anew.
            self._execute(connection, delete(dead_letters).where(*has(key)))
            self._execute(connection, insert(dead_letters).values(key | row))
        return True

    def _is_there(self, values: dict[str, Any]) -> bool:
        statement = select(dead_letters.c.attempts).where(*has(values))
        with self._recorder.datastore.statement() as executor:
            return bool(self._execute(executor.connection, statement).all())

    def select(
        self, application_name: str | None = None, *, limit: int | None = None
    ) -> list[DeadLetter]:
        """Returns dead letters, in the order of applications and positions.

        Args:
            application_name: return only events of this application; None for all.
            limit: the maximum number of dead letters.

        Raises:
            ProgrammingError: if the limit is negative.
        """
        columns = dead_letters.c
        statement = (
            select(dead_letters)
            .where(*self._of(application_name))
            .order_by(columns.application_name, columns.notification_id)
            .limit(checked_limit(limit))
        )
        return self._recorder.datastore.retrying(lambda: self._select(statement))

    def count(self, application_name: str | None = None) -> int:
        """Returns the number of dead letters.

        Args:
            application_name: count only events of this application; None for all.
        """
        counted = select(func.count()).select_from(dead_letters)
        statement = counted.where(*self._of(application_name))
        return self._recorder.datastore.retrying(lambda: self._count(statement))

    def _of(self, application_name: str | None) -> list[ColumnElement[bool]]:
        key: dict[str, Any] = {"projection_name": self._recorder.name}
        if application_name is not None:
            name = checked_name("The application's name", application_name)
            key["application_name"] = name
        return has(key)

    def _count(self, statement: Select[Any]) -> int:
        with self._recorder.datastore.statement() as executor:
            found = self._execute(executor.connection, statement)
            return int(found.scalar_one())

    def _select(self, statement: Select[Any]) -> list[DeadLetter]:
        with self._recorder.datastore.statement() as executor:
            rows = self._execute(executor.connection, statement).mappings()
            return [letter_of(**row) for row in rows]

    def discard(self, letter: DeadLetter) -> None:
        """Deletes a dead letter. The event stays unprocessed.

        It joins your transaction, if there is one.

        Args:
            letter: a dead letter from `select()`.

        Raises:
            ProgrammingError: if somebody else has retried or discarded it.
        """
        self._retrying(letter, lambda: self._discard(letter))

    def _discard(self, letter: DeadLetter) -> bool:
        with self._recorder.transaction() as connection:
            self._delete(connection, letter)
        return True

    def _retrying(self, letter: DeadLetter, attempt: Callable[[], bool]) -> None:
        """Tries again what ends with the dead letter gone, whatever else it does."""
        key = key_of(letter.projection_name, letter.tracking)
        self._recorder.datastore.retrying(
            attempt, lambda: not self._is_there(key) or None
        )

    def retry(
        self,
        letter: DeadLetter,
        application: Application[Any] | DCBApplication,
        projection: Projection[Any] | EventSourcedProjection[Any],
    ) -> None:
        """Processes the event of a dead letter, and deletes the dead letter.

        Both happen in one transaction, which `projection.process_event()` joins. So the
        event takes effect once, even if somebody else retries it too. If it fails, the
        dead letter stays, with the new error and one more attempt. (Inside a
        transaction of yours, which then rolls back, it stays as it was.)

        A retried event takes effect after events that followed it.

        Args:
            letter: a dead letter from `select()`.
            application: the application that recorded the event.
            projection: the projection that is to process it.

        Raises:
            ProgrammingError: if the dead letter or the event no longer exists; if the
                projection started again and has not reached the event yet; if the
                application or projection is not that of the dead letter.
            IntegrityError: if `process_event()` does not join the transaction, but
                tracks the event in one of its own.
            Exception: whatever `process_event()` raised.
        """
        refuse_other(application, letter)
        view = view_of(projection, letter, self._recorder)
        is_deleted = False

        def attempt() -> bool:
            nonlocal is_deleted
            with self._recorder.transaction() as connection:
                refuse_unless_passed(view, letter)
                self._delete(connection, letter)
                is_deleted = True
                event = event_of(letter, application)
                with (
                    tracking_mode(connection, view.name, Redoing(letter.tracking)),
                    caching_apart(projection, view.datastore.after_commit),
                ):
                    process_event(projection, event, letter.tracking)
                refuse_in_switch(view, letter)
            return True

        try:
            self._retrying(letter, attempt)
        except Exception as error:
            if is_deleted and not self._recorder.datastore.is_in_transaction():
                self._count_attempt(letter, error)
            raise

    def _delete(self, connection: Connection, letter: DeadLetter) -> None:
        key = key_of(letter.projection_name, letter.tracking)
        statement = delete(dead_letters).where(*has(key))
        if not self._execute(connection, statement).rowcount:
            msg = f"Somebody else has retried or discarded {letter}"
            raise GoneError(msg)

    def _count_attempt(self, letter: DeadLetter, error: Exception) -> None:
        key = key_of(letter.projection_name, letter.tracking)
        values = {
            "attempts": dead_letters.c.attempts + 1,
            "error": self._texts.message(error),
            "traceback": self._texts.traceback(error),
        }
        statement = update(dead_letters).where(*has(key)).values(values)
        try:
            self._recorder.datastore.retrying(lambda: self._update(statement))
        except PersistenceError as failure:
            # The error of the attempt is the one to be raised.
            logger.warning("Cannot count an attempt at %s: %s", letter, str(failure))

    def _update(self, statement: Update) -> None:
        with self._recorder.transaction() as connection:
            self._execute(connection, statement)

    def _execute(
        self, connection: Connection, statement: Select[Any] | Insert | Update | Delete
    ) -> CursorResult[Any]:
        options = self._recorder.datastore.options
        return connection.execute(statement, execution_options=options)


def _short_text(originator_id: UUID | str | None) -> str | None:
    text = None if originator_id is None else storable(str(originator_id))
    return text if text is not None and len(text) <= LONGEST_NAME else None
