"""What has to be true before the event of a dead letter is processed after all."""

from typing import Any

from sqlalchemy import select

from eventsourcing_alchemy.errors import TransientError
from eventsourcing_alchemy.host import (
    Application,
    DCBApplication,
    EventSourcedProjection,
    ProgrammingError,
    Projection,
    TrackingRecorder,
)
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.runners.event_source import domain_event_at
from eventsourcing_alchemy.schema.tables import rebuilds


def view_of(
    projection: Projection[Any] | EventSourcedProjection[Any],
    letter: DeadLetter,
    recorder: SQLAlchemyTrackingRecorder,
) -> SQLAlchemyTrackingRecorder:
    """The view, or process recorder, of the projection that passed over the event.

    Args:
        projection: is to process it.
        letter: of the event.
        recorder: of the dead letters.

    Raises:
        ProgrammingError: if it is another projection, or in another place.
    """
    if isinstance(projection, EventSourcedProjection):
        view: TrackingRecorder = projection.recorder
    else:
        view = projection.view
    if (
        isinstance(view, SQLAlchemyTrackingRecorder)
        and view.name == letter.projection_name
        and _place(view) == _place(recorder)
    ):
        return view
    msg = (
        f"{projection!r} cannot process {letter}: pass the projection of the dead "
        "letter, with a view from the factory of its recorder"
    )
    raise ProgrammingError(msg)


def _place(recorder: SQLAlchemyTrackingRecorder) -> object:
    return recorder.datastore.engine, recorder.datastore.schema


def refuse_unless_passed(view: SQLAlchemyTrackingRecorder, letter: DeadLetter) -> None:
    """Makes sure that the projection does not come to the event by itself.

    Raises:
        ProgrammingError: if it does, because it began anew.
    """
    position = view.max_tracking_id(letter.application_name) or 0
    if position < letter.notification_id:
        msg = (
            f"Projection {view.name!r} is at position {position}, and will reach the "
            f"event by itself: discard {letter}"
        )
        raise ProgrammingError(msg)


def refuse_in_switch(view: SQLAlchemyTrackingRecorder, letter: DeadLetter) -> None:
    """Makes sure that what was written did not go to the new tables of a rebuild.

    They have the effect of the event already, and the letter is deleted only then.

    Raises:
        TransientError: if it may have.
    """
    query = select(rebuilds.c.phase).where(
        rebuilds.c.projection_name == letter.projection_name,
        rebuilds.c.application_name == letter.application_name,
        rebuilds.c.position > 0,
    )
    with view.reading() as connection:
        options = view.datastore.options
        if connection.execute(query, execution_options=options).first() is None:
            return
    msg = (
        f"A rebuild is replacing the tables of projection {letter.projection_name!r}: "
        "retry the dead letter when it is done. If it was interrupted, call rebuild() "
        "again first"
    )
    raise TransientError(msg)


def refuse_other(
    application: Application[Any] | DCBApplication, letter: DeadLetter
) -> None:
    """Makes sure that the event is the application's.

    Raises:
        ProgrammingError: if it is not.
    """
    if application.name != letter.application_name:
        msg = (
            f"Application {application.name!r} does not have the event of {letter}: "
            "pass the application that recorded it"
        )
        raise ProgrammingError(msg)


def event_of(letter: DeadLetter, application: Application[Any] | DCBApplication) -> Any:
    """The event.

    Raises:
        ProgrammingError: if it is gone.
    """
    event = domain_event_at(letter.notification_id, application)
    if event is None:
        raise ProgrammingError(f"The event no longer exists for {letter}: discard it")
    return event
