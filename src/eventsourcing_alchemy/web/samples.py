"""How far projections were, looked at from time to time."""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from threading import Lock
from time import monotonic

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.operations.overview import Overview, overview

KEPT = 720
"""Samples; an hour of them, by default."""

KEPT_OUTAGES = 20


@dataclass
class SeenOutage:
    """A time in which the database could not be read from here.

    Attributes:
        began: when that was noticed first, in UTC.
        ended: when it could be read again; None if that is still so.
        reason: type and message of the first error.
    """

    began: datetime
    ended: datetime | None
    reason: str


@dataclass(frozen=True)
class Sample:
    """How far projections were at some time.

    Attributes:
        at: by the monotonic clock.
        lags: seconds, by projection and application; None where not known.
    """

    at: float
    lags: dict[tuple[str, str], float | None]


class Samples:
    """Looks at how far projections are, and keeps what it saw.

    Args:
        datastore: the database.
        interval: seconds between two samples, at the least.
    """

    def __init__(self, datastore: SQLAlchemyDatastore, interval: float) -> None:
        self.interval = interval
        self._datastore = datastore
        self._lock = Lock()
        self._seen: tuple[float, Overview] | None = None
        self._samples: deque[Sample] = deque(maxlen=KEPT)
        self._outages: deque[SeenOutage] = deque(maxlen=KEPT_OUTAGES)

    def overview(self) -> Overview:
        """All applications and projections, as of one interval ago at the most.

        Raises:
            PersistenceError: if the database cannot be read.
        """
        with self._lock:
            now = monotonic()
            if self._seen is None or now - self._seen[0] >= self.interval:
                self._seen = now, self._look(now)
            return self._seen[1]

    def forget(self) -> None:
        """Has the next question asked of the database, because something changed."""
        self._seen = None

    def _look(self, now: float) -> Overview:
        try:
            seen = overview(self._datastore)
        except PersistenceError as error:
            if not self._outages or self._outages[-1].ended is not None:
                began = datetime.now(UTC)
                self._outages.append(SeenOutage(began, None, text_of(error)))
            raise
        if self._outages and self._outages[-1].ended is None:
            self._outages[-1].ended = datetime.now(UTC)
        lags = {
            (each.name, each.application): each.lag_seconds for each in seen.projections
        }
        self._samples.append(Sample(now, lags))
        return seen

    @property
    def outages(self) -> Sequence[SeenOutage]:
        """The last outages that were noticed, newest first."""
        return list(self._outages)[::-1]

    def lags(self, projection: str, application: str) -> list[tuple[float, float]]:
        """The lag of a projection over time.

        Returns:
            Pairs of seconds before now, and seconds of lag; the oldest first.
        """
        now, key = monotonic(), (projection, application)
        return [
            (now - each.at, lag)
            for each in list(self._samples)
            if (lag := each.lags.get(key)) is not None
        ]
