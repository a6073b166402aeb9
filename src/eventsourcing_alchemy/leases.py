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

from eventsourcing.persistence import PersistenceError, ProgrammingError

from eventsourcing_alchemy.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.lease_rows import Holding, LeaseRow
from eventsourcing_alchemy.validation import checked_name

logger = logging.getLogger("eventsourcing_alchemy")

PAUSE = 0.25
"""Seconds between two looks at the lease in `wait()`."""

PATIENCE = 1.0
"""Seconds in which the thread that renews a lease usually ends."""

NEVER = float("-inf")


class Lease:
    """One of several copies of a projection holds it, for a time.

    All times are told by the database's clock: those of the copies may be wrong. A
    lease saves the others their work; it cannot keep a holder that was asleep from
    waking up too late. That an event is processed once is due to the tracking.

    Args:
        datastore: the database.
        projection_name: of the projection that there are several copies of.
        application_name: of the application that it follows.
        duration: seconds after which others may take it, unless it is renewed.
        holder: name of this copy, different from those of all others. By default,
            host and process, with something random.

    Raises:
        DataError: if a name is too long, or contains what no database stores.
        ProgrammingError: if the duration is not above 0.
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
        if not duration > 0:
            raise ProgrammingError(f"duration is {duration!r}: expected more than 0 s")
        self.holder = checked_name("The holder", holder or _unique_name())
        self.duration = duration
        self._row = LeaseRow(datastore, projection_name, application_name)
        self._token: int | None = None
        self._held_until = NEVER

    def __str__(self) -> str:
        return str(self._row)

    @property
    def is_held(self) -> bool:
        """Whether this copy has the lease, told without asking the database.

        Never True when the database would let others have it: the time is counted
        from the moment before the database was asked.
        """
        return monotonic() < self._held_until

    def acquire(self) -> bool:
        """Takes the lease, if it is free or expired, or renews this copy's own.

        Returns:
            Whether this copy has it now.

        Raises:
            ProgrammingError: inside of a transaction, which would make others wait
                for it instead of seeing who has the lease.
            PersistenceError: if the database fails. Others may have to wait until
                the lease expires, then.
        """
        asked = monotonic()
        now, seen = self._row.look()
        if seen is None:
            return self._claim(None, 1, asked, now)
        if seen.holder == self.holder:
            return self._claim(seen, seen.token, asked, now)
        return seen.expires_at <= now and self._claim(seen, seen.token + 1, asked, now)

    def renew(self) -> bool:
        """Keeps the lease for another `duration`, unless somebody else has taken it.

        Returns:
            Whether this copy has it still.

        Raises:
            ProgrammingError: inside of a transaction.
            PersistenceError: if the database fails; `is_held` tells for how long it
                was renewed before.
        """
        while self._token is not None:
            asked = monotonic()
            now, seen = self._row.look()
            if seen is None or seen[:2] != (self.holder, self._token):
                self._forget()
            elif self._claim(seen, seen.token, asked, now):
                return True
        return False

    def release(self) -> None:
        """Lets others take the lease at once; does nothing unless it is held.

        Raises:
            ProgrammingError: inside of a transaction.
            PersistenceError: if the database fails. The lease expires, then.
        """
        token = self._token if self.is_held else None
        self._forget()
        if token is not None:
            self._row.expire(self.holder, token)

    def wait(self, stopping: Event) -> bool:
        """Waits for the lease; looks every quarter of a second.

        Args:
            stopping: ends the wait when it is set.

        Returns:
            Whether this copy has it; False if `stopping` was set before.

        Raises:
            PersistenceError: as `acquire()`.
        """
        while not stopping.is_set():
            if self.acquire():
                return True
            stopping.wait(PAUSE)
        return False

    @contextmanager
    def holding(self, stopping: Event) -> Iterator[None]:
        """Renews the lease for the time of the block, and releases it at the end.

        A thread does so. What goes wrong there is logged, and not raised: ask
        `is_held` before each piece of work.

        Args:
            stopping: when it is set, the lease is not renewed any more. So it cannot
                be kept by what hangs in the block and does not stop.
        """
        ended = Event()
        keeper = Thread(
            target=self._keep, args=(ended, stopping), name=str(self), daemon=True
        )
        keeper.start()
        try:
            yield
        finally:
            ended.set()
            keeper.join(PATIENCE)
            # Where the database does not answer, the lease expires.
            if not keeper.is_alive():
                self._release_or_log()

    def _keep(self, ended: Event, stopping: Event) -> None:
        is_failing = False
        while not ended.wait(self.duration / 3) and not stopping.is_set():
            try:
                if not self.renew():
                    logger.warning("Another copy has taken %s", str(self))
                    return
                is_failing = False
            except Exception as error:  # Also of a connection creator of the user's.
                if not is_failing:
                    logger.warning("Cannot renew %s yet: %s", str(self), str(error))
                is_failing = True

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
        return self.is_held  # Or it took so long that it is over.

    def _forget(self) -> None:
        self._token, self._held_until = None, NEVER


def _unique_name() -> str:
    return f"{socket.gethostname()[:200]}:{os.getpid()}:{secrets.token_hex(8)}"
