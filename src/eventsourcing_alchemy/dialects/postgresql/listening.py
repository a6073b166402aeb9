"""LISTEN and NOTIFY."""

from collections.abc import Callable

from sqlalchemy import (
    Engine,
)

from eventsourcing_alchemy.dialects.base import (
    Listening,
)
from eventsourcing_alchemy.dialects.base.listening import Announcements
from eventsourcing_alchemy.dialects.postgresql.listener import Listener
from eventsourcing_alchemy.dialects.postgresql.locks import CHANNEL
from eventsourcing_alchemy.resilience.outages import Outage


class PostgreSQLAnnouncements(Announcements):
    """LISTENs by psycopg."""

    def listen(
        self,
        engine: Engine,
        writer: Engine,
        wake: Callable[[str], None],
        outage: Outage,
        can_wait: Callable[[BaseException], bool],
    ) -> Listening | None:
        """LISTENs by psycopg; other drivers have no common way to wait."""
        if engine.dialect.driver != "psycopg":
            return None
        return Listener(engine, writer, CHANNEL, wake, outage, can_wait)
