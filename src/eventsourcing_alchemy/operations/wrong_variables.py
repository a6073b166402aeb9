"""Which variable the library refuses: its own errors often do not name it."""

from collections.abc import Callable, Mapping

from eventsourcing_alchemy.environments import name_in
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.host import (
    Environment,
    POPOFactory,
    resolve_topic,
    strtobool,
)

Read = Callable[[POPOFactory], object]


def _boolean(key: str) -> Read:
    return lambda factory: strtobool(factory.env.get(key, "y"))


def _number(key: str) -> Read:
    return lambda factory: int(factory.env.get(key) or 0)


def _topic(key: str) -> Read:
    return lambda factory: (topic := factory.env.get(key)) and resolve_topic(topic)


_READ_BY: Mapping[str, Read] = {
    "TRANSCODER_TOPIC": POPOFactory.transcoder,
    "COMPRESSOR_TOPIC": POPOFactory.compressor,
    "CIPHER_TOPIC": _topic("CIPHER_TOPIC"),
    "CIPHER_KEY": POPOFactory.cipher,
    "MAPPER_TOPIC": POPOFactory.mapper,
    "IS_SNAPSHOTTING_ENABLED": POPOFactory.is_snapshotting_enabled,
    "AGGREGATE_CACHE_MAXSIZE": _number("AGGREGATE_CACHE_MAXSIZE"),
    **{
        key: _boolean(key)
        for key in (
            "AGGREGATE_CACHE_FASTFORWARD",
            "AGGREGATE_CACHE_FASTFORWARD_SKIPPING",
            "DEEPCOPY_FROM_AGGREGATE_CACHE",
        )
    },
}


def reason_of(error: Exception, *environments: Environment) -> str:
    """Why something cannot be opened: with the variable, if one is at fault.

    Args:
        error: what opening it has raised.
        *environments: of what was opened.
    """
    text = text_of(error)
    wrong = (
        f"{name_in(env, key)}: {text}"
        for env in environments
        for key, read in _READ_BY.items()
        if _failure(read, POPOFactory(env)) == text
    )
    return next(wrong, text)


def _failure(read: Read, factory: POPOFactory) -> str | None:
    try:
        read(factory)
    except Exception as error:  # Whatever the library raises.
        return text_of(error)
    return None
