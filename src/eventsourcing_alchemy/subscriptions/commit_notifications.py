"""Whether, and where, this process listens for the commits of others."""

import logging
from collections.abc import Hashable
from functools import partial
from os import getpid

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.database.engine_creation import for_listening, unpooled
from eventsourcing_alchemy.database.shared_objects import SharedObjects
from eventsourcing_alchemy.database.wakeups import NOTIFIED, events_topic, hints
from eventsourcing_alchemy.dialects.base import BaseDialect, Listening
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.host import (
    NotSupportedError,
    OperationalError,
    PersistenceError,
)
from eventsourcing_alchemy.resilience.error_classification import (
    ErrorKind,
    error_kind_of,
)

logger = logging.getLogger("eventsourcing_alchemy")

_listeners: SharedObjects[Listening] = SharedObjects(
    lambda listening: listening.close(), lambda listening: listening.abandon()
)


_warned: set[Hashable] = set()
"""The listeners that could not be: one warning each is enough."""


class CannotListenError(NotSupportedError):
    """The database, or its driver, announces nothing."""


class ListenerShare:
    """A share in a listener.

    Args:
        listening: the listener.
        key: of the listener in the registry.
    """

    def __init__(self, listening: Listening, key: Hashable) -> None:
        self._listening = listening
        self._key = key

    @property
    def hears(self) -> bool:
        """Whether announcements arrive."""
        return self._listening.hears

    def close(self) -> None:
        """Gives the share back, once."""
        _listeners.release(self._key)


def listen(datastore: SQLAlchemyDatastore) -> ListenerShare | None:
    """Listens for announcements; one connection serves the whole process.

    Args:
        datastore: of the database, whose settings say whether to listen, and where.

    Returns:
        To be closed; None where the database has to be polled.

    Raises:
        PersistenceError: if it has to listen, and cannot.
    """
    settings = datastore.settings
    if settings.subscribe == "poll":
        return None
    # With the process, because a forked child has no thread that listens.
    key = getpid(), datastore.database, settings.listen_url
    try:
        with translated():
            listening = _listeners.acquire(key, lambda: _open(datastore))
    except PersistenceError as error:
        if settings.subscribe == "notify":
            raise
        if not isinstance(error, CannotListenError):
            _warn(key, str(error))
        return None
    if listening.failure is not None:
        _warn(key, listening.failure)
    return ListenerShare(listening, key)


def verify_listening(datastore: SQLAlchemyDatastore) -> None:
    """Makes sure that announcements arrive, by one of its own.

    Args:
        datastore: of the database.

    Raises:
        CannotListenError: if the database, or its driver, announces nothing.
        PersistenceError: if they do not arrive.
    """
    with translated():
        listening = _open(datastore)
        listening.close()
    if listening.failure is not None:
        raise OperationalError(listening.failure)


def _warn(key: Hashable, reason: str) -> None:
    if key not in _warned:
        _warned.add(key)
        logger.warning("Cannot LISTEN; polling instead: %s", reason)


def _can_wait(subscribe: str, dialect: BaseDialect, error: BaseException) -> bool:
    return subscribe == "auto" and error_kind_of(error, dialect) is ErrorKind.OUTAGE


def _open(datastore: SQLAlchemyDatastore) -> Listening:
    # Not the datastore itself, which could then not be collected.
    database = datastore.database
    listening = datastore.dialect.listen(
        for_listening(datastore.settings, datastore.engine),
        unpooled(datastore.settings, datastore.engine),
        lambda name: hints.wake(events_topic(database, name), NOTIFIED),
        datastore.outage,
        partial(_can_wait, datastore.settings.subscribe, datastore.dialect),
    )
    if listening is None:
        driver = datastore.engine.dialect.driver
        msg = (
            f"SQLALCHEMY_SUBSCRIBE: 'notify' is possible with postgresql+psycopg only, "
            f"not with driver {driver!r}: use 'auto' or 'poll'"
        )
        raise CannotListenError(msg)
    return listening
