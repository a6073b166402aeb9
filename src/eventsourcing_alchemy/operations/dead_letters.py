"""Dead letters, of one projection or all."""

from collections.abc import Sequence
from typing import Any, NamedTuple

from sqlalchemy import ColumnElement, Select, select

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.scoped_sessions import apart_from_sessions
from eventsourcing_alchemy.operations.reading import Reader, UnknownNameError, read
from eventsourcing_alchemy.recorders import SQLAlchemyTrackingRecorder
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter, letter_of
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.schema.tables import dead_letters
from eventsourcing_alchemy.schema.validation import HIGHEST, checked_name


def dead_letters_of(datastore: SQLAlchemyDatastore, projection: str) -> DeadLetters:
    """The dead letters of a projection, whose class need not be there.

    Args:
        datastore: the database.
        projection: name of the projection.
    """
    return DeadLetters(SQLAlchemyTrackingRecorder(datastore, projection))


@apart_from_sessions()
def discard_letter(datastore: SQLAlchemyDatastore, letter: DeadLetter) -> None:
    """Forgets a dead letter. Takes part in no session of the calling code's.

    Args:
        datastore: the database.
        letter: to forget.

    Raises:
        PersistenceError: if the database fails.
    """
    dead_letters_of(datastore, letter.projection_name).discard(letter)


class Place(NamedTuple):
    """Where a dead letter is in the order of all.

    Attributes:
        projection: name of the projection.
        application: name of the application whose event it is.
        position: of the event.
    """

    projection: str
    application: str
    position: int


def place_of(letter: DeadLetter) -> Place:
    """Where a dead letter is, to go on after it."""
    return Place(
        letter.projection_name, letter.application_name, letter.notification_id
    )


def select_dead_letters(
    datastore: SQLAlchemyDatastore,
    projections: Sequence[str] = (),
    *,
    application: str | None = None,
    after: Place | None = None,
    limit: int,
) -> list[DeadLetter]:
    """Dead letters, in the order of projections, applications and positions.

    Each statement is a range of an index, however many dead letters there are.

    Args:
        datastore: the database.
        projections: names of the projections, whose order counts; none for all.
        application: name of the application whose events they are; None for all.
        after: where to go on; of one projection, or of all, only.
        limit: number of dead letters at the most.

    Raises:
        DataError: if no database could store a name.
        PersistenceError: if the database fails.
    """
    chosen = [[_projection(each)] for each in projections] or [[]]
    ranges = [
        [*one, *(() if application is None else [_application(application)]), *range_]
        for one in chosen
        for range_ in _ranges_after(after)
    ]

    def look(reader: Reader) -> list[DeadLetter]:
        found: list[DeadLetter] = []
        for conditions in ranges:
            if left := limit - len(found):
                statement = _letters().where(*conditions).limit(left)
                rows = reader.rows(statement)
                found += [letter_of(**row._asdict()) for row in rows]
        return found

    return read(datastore, look)


_columns = dead_letters.c


def _projection(name: str) -> ColumnElement[bool]:
    return _columns.projection_name == checked_name("The projection's name", name)


def _application(name: str) -> ColumnElement[bool]:
    return _columns.application_name == checked_name("The application's name", name)


def _letters() -> Select[Any]:
    key = _columns.projection_name, _columns.application_name, _columns.notification_id
    return select(dead_letters).order_by(*key)


def _ranges_after(place: Place | None) -> list[list[ColumnElement[bool]]]:
    """What comes after a place: the rest of the application, of the projection, all.

    One condition for all of it would be no range of the index everywhere.
    """
    if place is None:
        return [[]]
    is_projection = _projection(place.projection)
    is_application = _application(place.application)
    return [
        [is_projection, is_application, _columns.notification_id > place.position],
        [is_projection, _columns.application_name > place.application],
        [_columns.projection_name > place.projection],
    ]


def dead_letters_at(
    datastore: SQLAlchemyDatastore,
    projection: str,
    positions: Sequence[int],
    application: str | None = None,
) -> list[DeadLetter]:
    """Certain dead letters of a projection.

    Args:
        datastore: the database.
        projection: name of the projection.
        positions: of the events; none for all dead letters.
        application: name of the application whose events they are; None for all.

    Raises:
        DataError: if no database could store a name.
        UnknownNameError: names a position without a dead letter, or with several.
        PersistenceError: if the database fails.
    """
    if not positions:
        return dead_letters_of(datastore, projection).select(application)
    known = [each for each in positions if each <= HIGHEST]
    conditions = [
        _projection(projection),
        _columns.notification_id.in_(known),
        *([] if application is None else [_application(application)]),
    ]
    rows = read(datastore, lambda it: it.rows(_letters().where(*conditions)))
    letters = [letter_of(**row._asdict()) for row in rows]
    return [_at(letters, projection, each) for each in positions]


def _at(letters: Sequence[DeadLetter], projection: str, position: int) -> DeadLetter:
    found = [each for each in letters if each.notification_id == position]
    if len(found) == 1:
        return found[0]
    if found:
        names = ", ".join(repr(each.application_name) for each in found)
        msg = (
            f"Position {position} has a dead letter in each of {names}: name the "
            "application"
        )
    else:
        msg = f"Projection {projection!r} has no dead letter at position {position}"
    raise UnknownNameError(msg)
