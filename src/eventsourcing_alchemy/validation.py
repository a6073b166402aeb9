"""What is refused before it reaches a database, which might cut or convert it."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any
from uuid import UUID

from eventsourcing.persistence import DataError, ProgrammingError, StoredEvent

from eventsourcing_alchemy.tables import applications, events

LONGEST_NAME: int = applications.c.name.type.length  # type: ignore[attr-defined]
LONGEST_TOPIC: int = events.c.topic.type.length  # type: ignore[attr-defined]
HIGHEST = 2**63 - 1

ID_TYPES: Mapping[str, type[UUID] | type[str]] = {"uuid": UUID, "text": str}
"""What originator IDs are, by the value of ORIGINATOR_ID_TYPE."""


def checked_name(what: str, name: str, longest: int = LONGEST_NAME) -> str:
    """The name, if every database can store it as it is.

    Args:
        what: says in the error what the name names.
        name: to check.
        longest: characters.

    Raises:
        DataError: if it is too long, or contains NUL.
    """
    if len(name) > longest:
        shown = f"{name[:40]}…"
        msg = f"{what} {shown!r} has {len(name)} characters: at most {longest} fit"
        raise DataError(msg)
    if "\0" in name or not (name.isascii() or _is_unicode(name)):
        problem = "NUL, or half of a surrogate pair"
        raise DataError(f"{what} {name!r} contains {problem}: no database stores that")
    return name


def _is_unicode(name: str) -> bool:
    try:
        name.encode()
    except UnicodeEncodeError:
        return False
    return True


def checked_id(originator_id: UUID | str, id_type: type) -> UUID | str:
    """The ID, if it is of the type that is stored.

    Raises:
        DataError: if it is not.
    """
    if not isinstance(originator_id, id_type):
        other = "text" if isinstance(originator_id, str) else "uuid"
        msg = (
            f"originator_id {originator_id!r} is a {type(originator_id).__name__}, but "
            f"{id_type.__name__} is stored: set ORIGINATOR_ID_TYPE={other} for the "
            f"application, or convert the ID"
        )
        raise DataError(msg)
    if isinstance(originator_id, str):
        checked_name("originator_id", originator_id)
    return originator_id


def checked_events(
    stored_events: Sequence[StoredEvent], id_type: type
) -> Sequence[StoredEvent]:
    """The events, if every database can store them as they are.

    Raises:
        DataError: names what does not fit.
    """
    for event in stored_events:
        checked_id(event.originator_id, id_type)
        checked_name("topic", event.topic, LONGEST_TOPIC)
        version = event.originator_version
        if type(version) is not int or not -HIGHEST <= version <= HIGHEST:
            msg = (
                f"originator_version {version!r} of {event.topic!r} is not a whole "
                f"number that fits into 64 bits"
            )
            raise DataError(msg)
    return stored_events


def checked_count(what: str, count: int | None) -> int | None:
    """The number, if it is one that a database can count to.

    Raises:
        ProgrammingError: if it is negative, or needs more than 64 bits.
    """
    if count is not None and not 0 <= count <= HIGHEST:
        raise ProgrammingError(f"{what} is {count}: expected 0 or more, in 64 bits")
    return count


def checked_topics(topics: Iterable[str]) -> Sequence[str]:
    """The topics, read once, if they are a sequence of texts.

    Raises:
        ProgrammingError: if they are one text, which is a sequence of letters.
    """
    if isinstance(topics, str):
        raise ProgrammingError(f"topics is {topics!r}: expected a sequence of topics")
    return tuple(checked_name("topic", topic, LONGEST_TOPIC) for topic in topics)


def refuse_tracking(recorder: object, arguments: Mapping[str, Any]) -> None:
    """Makes sure that no tracking gets lost in a recorder that keeps none.

    Raises:
        ProgrammingError: if the arguments of `insert_events()` have a tracking.
    """
    if arguments.get("tracking") is not None:
        msg = (
            f"{type(recorder).__name__} does not record {arguments['tracking']}: use "
            f"a process recorder"
        )
        raise ProgrammingError(msg)
