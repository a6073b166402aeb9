"""Sessions of the calling code's, found rather than given: one a thread, or request."""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar
from dataclasses import replace
from typing import Any, TypeVar

from sqlalchemy import Connection, Engine
from sqlalchemy.orm import Session, scoped_session

from eventsourcing_alchemy.database.binds import Bind
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError, text_of, translated
from eventsourcing_alchemy.host import TopicError, resolve_topic
from eventsourcing_alchemy.resilience.cancellation import Interruption
from eventsourcing_alchemy.settings import Settings
from eventsourcing_alchemy.statements.executor import Executor

T = TypeVar("T")

VARIABLE = "SQLALCHEMY_SCOPED_SESSION_TOPIC"

_is_apart: ContextVar[bool] = ContextVar("is_apart", default=False)


@contextmanager
def apart_from_sessions() -> Iterator[None]:
    """Takes part in no session of the calling code's, in the block or function."""
    token = _is_apart.set(True)
    try:
        yield
    finally:
        _is_apart.reset(token)


class ScopedSessionDatastore(SQLAlchemyDatastore):
    """A database, of which each operation is part of the calling code's session.

    The caller commits, or does not. Apart from that are subscriptions, runners, leases,
    and what happens when a recorder is constructed.

    Args:
        settings: as of every datastore, with `scoped_session_topic`.

    Raises:
        ConfigurationError: if the settings cannot be used.
    """

    def __init__(self, settings: Settings) -> None:
        topic = str(settings.scoped_session_topic)
        self._found = _resolved(topic)
        if settings.engine_topic is None:
            settings = replace(settings, engine=_engine_of(self._found, topic))
        super().__init__(settings)

    def is_in_transaction(self) -> bool:
        """Whether the calling code is inside `transaction()`, or has a session."""
        return super().is_in_transaction() or self._session() is not None

    @contextmanager
    def transaction(
        self, bind: Bind | None = None, *, commit: bool = True
    ) -> Iterator[Connection]:
        """As of every datastore, in the session unless another bind is given."""
        if bind is None and commit:
            bind = self._session()
        with super().transaction(bind, commit=commit) as connection:
            yield connection

    @contextmanager
    def reading(self) -> Iterator[Connection]:
        """As of every datastore; the session's connection sees what it has written."""
        session = self._session()
        if session is None:
            with super().reading() as connection:
                yield connection
        else:
            with translated():
                yield self._blocks.connection_of(session)

    def retrying(
        self,
        attempt: Callable[[], T],
        settle: Callable[[], T | None] | None = None,
        *,
        timeout: float | None = None,
    ) -> T:
        """As of every datastore: once only in a session, of which it is but a part."""
        if self._session() is not None:
            return attempt()
        return super().retrying(attempt, settle, timeout=timeout)

    @contextmanager
    def statement(self, interruption: Interruption | None = None) -> Iterator[Executor]:
        """As of every datastore; with an interruption, to see what others commit."""
        session = self._session() if interruption is None else None
        if session is None:
            with super().statement(interruption) as executor:
                yield executor
        else:
            with (
                translated(),
                self.executing(self._blocks.connection_of(session)) as executor,
            ):
                yield executor

    def recording(self) -> AbstractContextManager[Connection]:
        """As of every datastore."""
        is_apart = self._session() is None
        return super().recording() if is_apart else self.transaction()

    def alone(self, work: Callable[[Executor], T]) -> T:
        """As of every datastore, where there is no session."""
        if self._session() is None:
            return super().alone(work)
        with self.writing() as executor:
            return work(executor)

    def _session(self) -> Bind | None:
        """The one to take part in, if there is any."""
        if _is_apart.get() or super().is_in_transaction():
            return None
        self._refuse_unusable()
        # An adapter passes this method on: it is the session's own.
        session: Bind = self._found.connection.__self__
        return session


def _resolved(topic: str) -> Any:
    """A `scoped_session`, or something that passes each attribute on to a session.

    Raises:
        ConfigurationError: if the topic leads to nothing of that kind.
    """
    try:
        found: Any = resolve_topic(topic)
    except TopicError as error:
        raise ConfigurationError(f"{VARIABLE}: {error}") from error
    if callable(found) and not isinstance(found, scoped_session):
        found = found()
    # Not isinstance(): an adapter passes on __class__ as well.
    if issubclass(type(found), Session):
        msg = (
            f"{VARIABLE}: {topic!r} gives one Session, which threads cannot share: "
            f"expected a scoped_session, or an adapter of one"
        )
        raise ConfigurationError(msg)
    return found


def _engine_of(found: Any, topic: str) -> Engine:
    try:
        bind: Engine | Connection = found.get_bind()
    except Exception as error:  # Of whichever framework.
        msg = (
            f"{VARIABLE}: {topic!r} has a session that finds no engine here "
            f"({text_of(error)}): construct the application where there is one, or "
            "set SQLALCHEMY_ENGINE_TOPIC"
        )
        raise ConfigurationError(msg) from error
    return bind.engine
