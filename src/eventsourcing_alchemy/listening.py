"""Whether, and where, this process listens for the commits of others."""

import logging
from collections.abc import Hashable
from functools import partial
from os import getpid

from eventsourcing.persistence import NotSupportedError, PersistenceError

from eventsourcing_alchemy import engines
from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.dialects.base import BaseDialect, Listening
from eventsourcing_alchemy.errors import translated
from eventsourcing_alchemy.faults import Fault, fault_of
from eventsourcing_alchemy.hints import hints
from eventsourcing_alchemy.registry import Registry

logger = logging.getLogger("eventsourcing_alchemy")

_listeners: Registry[Listening] = Registry(
    lambda listening: listening.close(), lambda listening: listening.abandon()
)


_warned: set[Hashable] = set()
"""The listeners that could not be: one warning each is enough."""


class CannotListenError(NotSupportedError):
    """The database, or its driver, announces nothing."""


class Ear:
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


def listen(datastore: SQLAlchemyDatastore) -> Ear | None:
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
    return Ear(listening, key)


def _warn(key: Hashable, reason: str) -> None:
    if key not in _warned:
        _warned.add(key)
        logger.warning("Cannot LISTEN, so polls instead: %s", reason)


def _can_wait(subscribe: str, dialect: BaseDialect, error: BaseException) -> bool:
    return subscribe == "auto" and fault_of(error, dialect) is Fault.OUTAGE


def _open(datastore: SQLAlchemyDatastore) -> Listening:
    # Not the datastore itself, which could then not be collected.
    database = datastore.database
    listening = datastore.dialect.listen(
        engines.for_listening(datastore.settings, datastore.engine),
        engines.unpooled(datastore.settings, datastore.engine),
        lambda name: hints.wake((database, "events", name)),
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
