"""Leases: one of several copies of a projection works, the others stand by."""

import logging
import os
import secrets
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime, timedelta
from threading import Event, Thread
from time import monotonic

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.host import PersistenceError, ProgrammingError
from eventsourcing_alchemy.runners.lease_rows import Holding, LeaseRow
from eventsourcing_alchemy.runners.standby_row import StandbyRow
from eventsourcing_alchemy.schema.validation import checked_name
from eventsourcing_alchemy.settings import LONGEST_DURATION

logger = logging.getLogger("eventsourcing_alchemy")

PAUSE = 0.25
"""Seconds between two looks at the lease in `wait()`."""

PATIENCE = 1.0
"""Seconds in which the thread that renews a lease usually ends."""

NEVER = float("-inf")


class Lease:
    """The right of one copy of a projection to work, for a limited time.

    All times come from the database's clock, because the clocks of the copies may be
    wrong. A lease only saves the other copies work: a holder that was suspended may
    wake up too late. The position of the projection makes sure that each event counts
    once.

    Args:
        datastore: the database of the view.
        projection_name: the name of the projection.
        application_name: the name of the application that it follows.
        duration: seconds after which another copy may take the lease, unless it is
            renewed.
        holder: a unique name for this copy. By default, host, process and a random
            part.

    Raises:
        DataError: if a name is too long, or contains a character that cannot be stored.
        ProgrammingError: if the duration is not above 0, or is above 2,000,000 s.
    """

    def __init__(
        self,
        datastore: SQLAlchemyDatastore,
        projection_name: str,
        application_name: str,
        *,
        duration: float = 5.0,
        holder: str | None = None,
    ) -> None:
        self.holder = checked_name("The holder", holder or _unique_name())
        self.duration = checked_duration("duration", duration)
        self._row = LeaseRow(datastore, projection_name, application_name)
        self._standby = StandbyRow(datastore, self._row, self.holder, self.duration)
        self._token: int | None = None
        self._held_until = NEVER

    def __str__(self) -> str:
        return str(self._row)

    @property
    def is_held(self) -> bool:
        """Whether this copy has the lease. It does not ask the database.

        It is never True after the lease has expired in the database, because the time
        counts from just before the database was asked.
        """
        return monotonic() < self._held_until

    def acquire(self) -> bool:
        """Takes the lease if it is free or expired, or renews it.

        Returns:
            Whether this copy has the lease now.

        Raises:
            ProgrammingError: inside a transaction, because that would make the other
                copies wait.
            PersistenceError: if the database fails. Other copies may then have to wait
                until the lease expires.
        """
        asked = monotonic()
        now, seen = self._row.look()
        if seen is None:
            is_claimed = self._claim(None, 1, asked, now)
        elif seen.holder == self.holder:
            is_claimed = self._claim(seen, seen.token, asked, now)
        else:
            is_free = seen.expires_at <= now
            is_claimed = is_free and self._claim(seen, seen.token + 1, asked, now)
        # Or it took so long that it is over.
        return is_claimed and self.is_held

    def current_holder(self) -> str | None:
        """Returns the name of the copy that has the lease, or None if it is free.

        Raises:
            ProgrammingError: inside a transaction.
            PersistenceError: if the database fails.
        """
        now, seen = self._row.look()
        return seen.holder if seen is not None and seen.expires_at > now else None

    def renew(self) -> bool:
        """Keeps the lease for another `duration`, unless another copy has taken it.

        Returns:
            Whether this copy still has the lease.

        Raises:
            ProgrammingError: inside a transaction.
            PersistenceError: if the database fails. `is_held` then says whether the
                last renewal still holds.
        """
        while self._token is not None:
            asked = monotonic()
            now, seen = self._row.look()
            if seen is None or seen[:2] != (self.holder, self._token):
                self._forget()
            elif self._claim(seen, seen.token, asked, now):
                return self.is_held  # Or it took so long that it is over.
        return False

    def release(self) -> None:
        """Lets other copies take the lease at once. Does nothing if it is not held.

        Raises:
            ProgrammingError: inside a transaction.
            PersistenceError: if the database fails. The lease then expires.
        """
        token = self._token if self.is_held else None
        self._forget()
        if token is not None:
            self._row.expire(self.holder, token)

    def remove(self) -> None:
        """Deletes the row of a lease that this copy had, and nobody takes any more.

        Raises:
            ProgrammingError: inside a transaction.
            PersistenceError: if the database fails. The row then stays.
        """
        self._forget()
        self._row.remove(self.holder)

    def wait(self, stopping: Event) -> bool:
        """Waits for the lease, and looks for it every quarter of a second.

        Meanwhile, a row of `es_standbys` says that this copy stands by.

        Args:
            stopping: set this event to end the wait.

        Returns:
            Whether this copy has the lease. False if `stopping` was set first.

        Raises:
            PersistenceError: if the database fails, as in `acquire()`.
        """
        try:
            while not stopping.is_set():
                if self.acquire():
                    return True
                self._standby.show()
                stopping.wait(PAUSE)
            return False
        finally:
            self._standby.hide()

    @contextmanager
    def holding(self, stopping: Event) -> Iterator[None]:
        """Renews the lease during the block, and releases it at the end.

        A thread renews it. It logs errors and does not raise them, so check `is_held`
        before each piece of work.

        Args:
            stopping: set this event to end the renewals, so that work which hangs
                cannot keep the lease.
        """
        ended = Event()
        keeper = Thread(
            target=self._keep, args=(ended, stopping), name=str(self), daemon=True
        )
        keeper.start()
        observer, names = instrumentation.observer, self._row.names
        observer.lease_taken(*names)
        try:
            yield
        finally:
            observer.lease_ended(*names, is_lost=not self.is_held)
            ended.set()
            # Where the database does not answer, it ends later, and the lease expires.
            keeper.join(PATIENCE)

    def _keep(self, ended: Event, stopping: Event) -> None:
        told = None
        while not ended.wait(self.duration / 3) and not stopping.is_set():
            problem = self._problem_of_renewal()
            if problem is not None and told is None:
                logger.warning("%s", problem)
            told = problem
            if self._token is None:
                break
        ended.wait()
        self._release_or_log()

    def _problem_of_renewal(self) -> str | None:
        try:
            if self.renew():
                return None
        except Exception as error:  # Also of a connection creator of the user's.
            return f"Cannot renew {self} yet: {error}"
        if self._token is None:
            return f"Another copy has taken {self}"
        return f"Renewing {self} takes longer than it lasts: {self.duration:g} s"

    def _release_or_log(self) -> None:
        try:
            self.release()
        except PersistenceError as error:
            logger.warning("Cannot release %s: %s", str(self), str(error))

    def _claim(
        self, seen: Holding | None, token: int, asked: float, now: datetime
    ) -> bool:
        expires_at = now + timedelta(seconds=self.duration)
        if not self._row.replace(seen, Holding(self.holder, token, expires_at)):
            return False
        self._token, self._held_until = token, asked + self.duration
        return True

    def _forget(self) -> None:
        self._token, self._held_until = None, NEVER


def checked_duration(name: str, seconds: float) -> float:
    """The duration of a lease, if threads and databases can count that far.

    Raises:
        ProgrammingError: names the argument and the value.
    """
    if not 0 < seconds <= LONGEST_DURATION:
        longest = f"{LONGEST_DURATION:,.0f}"
        msg = f"{name} is {seconds!r}: expected more than 0 s, up to {longest} s"
        raise ProgrammingError(msg)
    return seconds


def _unique_name() -> str:
    return f"{socket.gethostname()[:200]}:{os.getpid()}:{secrets.token_hex(8)}"
