"""What is refused before it reaches a database, which might cut or convert it."""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any
from uuid import UUID

from eventsourcing_alchemy.host import (
    DataError,
    DCBEvent,
    ProgrammingError,
    StoredEvent,
    Tracking,
)
from eventsourcing_alchemy.schema.tables import applications, events

LONGEST_NAME: int = applications.c.name.type.length  # type: ignore[attr-defined]
LONGEST_TOPIC: int = events.c.topic.type.length  # type: ignore[attr-defined]
HIGHEST = 2**63 - 1

ID_TYPES: Mapping[str, type[UUID] | type[str]] = {"uuid": UUID, "text": str}
"""What originator IDs are, by the value of ORIGINATOR_ID_TYPE."""


def checked_name(what: str, name: object, longest: int = LONGEST_NAME) -> str:
    """The name, if every database can store it as it is.

    Args:
        what: says in the error what the name names.
        name: to check.
        longest: characters.

    Raises:
        DataError: if it is no text, is too long, or contains NUL.
    """
    if not isinstance(name, str):
        raise DataError(
            f"{what} {name!r} is a {type(name).__name__}: expected a string"
        )
    if len(name) > longest:
        shown = f"{name[:40]}…"
        msg = f"{what} {shown!r} has {len(name)} characters: at most {longest} fit"
        raise DataError(msg)
    if "\0" in name or not (name.isascii() or _is_unicode(name)):
        problem = "NUL, or half of a surrogate pair"
        raise DataError(
            f"{what} {name!r} contains {problem}: databases cannot store that"
        )
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
        setting = next(
            (
                f"set ORIGINATOR_ID_TYPE={name} for the application, or "
                for name, type_ in ID_TYPES.items()
                if isinstance(originator_id, type_)
            ),
            "",
        )
        msg = (
            f"originator_id {originator_id!r} is a {type(originator_id).__name__}, but "
            f"{id_type.__name__} is stored: {setting}convert the ID"
        )
        raise DataError(msg)
    if isinstance(originator_id, str):
        checked_name("originator_id", originator_id)
    return originator_id


def id_to_read(originator_id: UUID | str, id_type: type) -> UUID | str:
    """The ID as it is stored; a UUID may be spelled as text.

    Raises:
        DataError: if it is of another type.
    """
    if isinstance(originator_id, str) and id_type is UUID:
        with suppress(ValueError):
            return UUID(originator_id)
    return checked_id(originator_id, id_type)


def checked_events(
    stored_events: Iterable[StoredEvent], id_type: type
) -> Sequence[StoredEvent]:
    """The events, read once, as every database can store them.

    Raises:
        DataError: names what does not fit.
    """
    return [
        event if _is_ordinary(event, id_type) else _checked_event(event, id_type)
        for event in stored_events
    ]


def _is_ordinary(event: StoredEvent, id_type: type) -> bool:
    """Whether the event can be stored, for certain: a quick look."""
    topic = event.topic
    return (
        id_type is UUID
        and type(event.originator_id) is UUID
        and type(topic) is str
        and len(topic) <= LONGEST_TOPIC
        and topic.isascii()
        and "\0" not in topic
        and type(event.state) is bytes
        and type(event.originator_version) is int
        and -HIGHEST <= event.originator_version <= HIGHEST
    )


def _checked_event(event: StoredEvent, id_type: type) -> StoredEvent:
    originator_id = checked_id(event.originator_id, id_type)
    topic = checked_name("topic", event.topic, LONGEST_TOPIC)
    version = event.originator_version
    if type(version) is not int or not -HIGHEST <= version <= HIGHEST:
        msg = (
            f"originator_version {version!r} of {topic!r} is not a whole "
            f"number from {-HIGHEST} to {HIGHEST}"
        )
        raise DataError(msg)
    state = _checked_bytes("state", topic, event.state)
    if state is event.state:
        return event
    return StoredEvent(originator_id, version, topic, state)


def _checked_bytes(what: str, topic: str, value: object) -> bytes:
    if isinstance(value, bytes):
        return value
    if isinstance(value, bytearray | memoryview):
        # The length of a view counts items, which may be of several bytes.
        return bytes(value)
    # Without its value. Some drivers would store the text of it.
    kind = type(value).__name__
    raise DataError(f"The {what} of {topic!r} is a {kind}: expected bytes")


def checked_tracking(tracking: Tracking) -> Tracking:
    """The tracking, if every database can store it as it is.

    Raises:
        DataError: names what does not fit.
    """
    checked_name("The application's name", tracking.application_name)
    position = tracking.notification_id
    if not isinstance(position, int) or not -HIGHEST <= position <= HIGHEST:
        msg = (
            f"The position {position!r} is not a whole number from {-HIGHEST} to "
            f"{HIGHEST}"
        )
        raise DataError(msg)
    return tracking


def checked_dcb_events(events: Iterable[DCBEvent]) -> Sequence[DCBEvent]:
    """The events with tags, read once, as every database can store them.

    Raises:
        DataError: names what does not fit.
        ProgrammingError: if there are none.
    """
    checked = [_checked_dcb_event(event) for event in events]
    if not checked:
        raise ProgrammingError("append() was called without events: give one or more")
    return checked


def _checked_dcb_event(event: DCBEvent) -> DCBEvent:
    checked_name("type", event.type)
    data = _checked_bytes("data", event.type, event.data)
    checked_names("tag", event.tags)
    return event if data is event.data else DCBEvent(event.type, data, event.tags)


def checked_names(what: str, names: object) -> Sequence[str]:
    """The types or tags, if they are a list of what every database can store.

    Args:
        what: one of them is: `tag`, say.
        names: to check.

    Raises:
        DataError: if they are anything else: one text is a sequence of its letters.
    """
    if not isinstance(names, list | tuple):
        raise DataError(f"{what}s is {names!r}: expected a list of strings")
    for name in names:
        checked_name(what, name)
    return names


def checked_count(what: str, count: int) -> int:
    """The number, if it is one that a database can count to.

    Raises:
        ProgrammingError: if it is negative, or needs more than 64 bits.
    """
    if not isinstance(count, int) or not 0 <= count <= HIGHEST:
        raise ProgrammingError(f"{what} is {count!r}: expected 0 or more, in 64 bits")
    return int(count)  # Some drivers do not take True for a number.


def checked_limit(limit: int | None) -> int | None:
    """The number of rows to return at the most, None for all.

    Raises:
        ProgrammingError: as `checked_count()`.
    """
    return None if limit is None else checked_count("limit", limit)


def checked_bound(what: str, bound: int | None) -> int | None:
    """A number of 64 bits that has the same numbers above it, and below it.

    Raises:
        ProgrammingError: if it is no whole number.
    """
    if bound is None:
        return None
    if not isinstance(bound, int):
        raise ProgrammingError(f"{what} is {bound!r}: expected a whole number")
    return max(-HIGHEST - 1, min(int(bound), HIGHEST))


def checked_topics(topics: Iterable[str]) -> Sequence[str]:
    """The topics, read once, if they are a sequence of texts.

    Raises:
        ProgrammingError: if they are one text, which is a sequence of letters, or no
            sequence at all.
        DataError: if one of them is nothing that a topic can be.
    """
    if isinstance(topics, str) or not isinstance(topics, Iterable):
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
