"""Many projections in one process."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from statistics import median
from threading import Event, Thread, active_count
from time import perf_counter, process_time, sleep
from typing import Any

from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    MetaData,
    NullPool,
    String,
    Table,
    create_engine,
    text,
)

from benchmarks.domain import Shop, new_order
from benchmarks.scale.findings import Figure, Findings
from benchmarks.scale.growth import autocommit
from eventsourcing_alchemy import (
    SQLAlchemyMaterialisedView,
    SQLAlchemyProjectionRunner,
    upsert,
)

PART = "crowd"
RUNNERS = 50
POOL = {"SQLALCHEMY_POOL_SIZE": "5", "SQLALCHEMY_MAX_OVERFLOW": "10"}
"""SQLAlchemy's own defaults, given so that the report does not depend on them."""

MOST = sum(map(int, POOL.values()))
IDLE = 10.0
"""Seconds; also those after which sessions have reported what they did before."""

SAVES = 100
PATIENCE = 60.0

_SESSIONS = text("""
    SELECT query LIKE 'LISTEN %' AS listens, count(*) FROM pg_stat_activity
    WHERE datname = current_database() AND pid <> pg_backend_pid()
    AND backend_type = 'client backend' GROUP BY 1
""")
_TRANSACTIONS = text("""
    SELECT xact_commit + xact_rollback FROM pg_stat_database
    WHERE datname = current_database()
""")


class LastSeen(SQLAlchemyMaterialisedView):
    """The last event that a projection has seen, in a row of its own."""

    metadata = MetaData()
    seen = Table(
        "last_seen",
        metadata,
        Column("name", String(40), primary_key=True),
        Column("position", BigInteger, nullable=False),
    )

    def see(self, tracking: Tracking) -> None:
        """Notes the event."""
        row = {"name": self.name, "position": tracking.notification_id}
        with self.processing(tracking) as connection:
            connection.execute(upsert(self.seen, row))


class Seeing(Projection[LastSeen]):
    """Sees all events."""

    def process_event(self, _: Any, tracking: Tracking) -> None:
        """Sees one."""
        self.view.see(tracking)


def measure(kind: str, environment: dict[str, str], _: int) -> Findings:
    """Runs all of them on a PostgreSQL database that is empty."""
    env = {**environment, **POOL}
    shop: Any = Shop(env=env)
    shop.save(new_order(0))
    url = shop.recorder.datastore.engine.url
    watching = create_engine(url, poolclass=NullPool)
    found = Findings()

    def add(
        name: str, value: float, unit: str = "", limit: float | None = None
    ) -> None:
        title = f"{RUNNERS} projections: {name}"
        found.figures.append(Figure(PART, kind, title, value, unit, limit=limit))

    with ExitStack() as stack, autocommit(watching) as connection:
        sessions = stack.enter_context(_sampled(connection))
        begun = perf_counter()
        for number in range(RUNNERS):
            stack.enter_context(_runner(number, env))
        with autocommit(watching) as looking:
            _wait(looking, 1)
            add(
                "start, until all have seen the first event",
                perf_counter() - begun,
                "s",
            )
            latencies = [_latency(shop, looking, n) for n in range(SAVES)]
            add("save to last view, median", 1000 * median(latencies), "ms")
            add("save to last view, longest", 1000 * max(latencies), "ms")
            cpu, transactions = _idle(looking)
        add("processor time when idle", 100 * cpu, "% of a core")
        add("transactions when idle", transactions, "1/s")
        add("sessions that LISTEN, at the most", sessions.listening, limit=1)
        # That of the looks is one more.
        add("other sessions, at the most", sessions.others - 1, limit=MOST)
        add("threads", active_count())
    return found


@contextmanager
def _runner(number: int, env: dict[str, str]) -> Iterator[Any]:
    projection: Any = type(f"Seeing{number}", (Seeing,), {"name": f"seeing_{number}"})
    with SQLAlchemyProjectionRunner(
        application_class=Shop,
        projection_class=projection,
        view_class=LastSeen,
        env=env,
    ) as runner:
        yield runner


def _latency(shop: Any, connection: Connection, number: int) -> float:
    # Not in step with anything.
    sleep(0.02 + (number % 10) / 100)
    begun = perf_counter()
    [recording] = shop.save(new_order(number))
    _wait(connection, recording.notification.id)
    return perf_counter() - begun


def _wait(connection: Connection, position: int) -> None:
    deadline = perf_counter() + PATIENCE
    query = text("SELECT count(*) FROM last_seen WHERE position >= :position")
    while connection.execute(query, {"position": position}).scalar() != RUNNERS:
        if perf_counter() > deadline:
            raise TimeoutError(position)
        sleep(0.0005)


def _idle(connection: Connection) -> tuple[float, float]:
    """Seconds of processor time, and transactions, a second."""
    sleep(IDLE + 1)
    before = connection.execute(_TRANSACTIONS).scalar_one()
    begun, used = perf_counter(), process_time()
    sleep(IDLE)
    seconds = perf_counter() - begun
    cpu = (process_time() - used) / seconds
    sleep(1)
    after = connection.execute(_TRANSACTIONS).scalar_one()
    return cpu, (after - before) / (seconds + 1)


@dataclass
class _Sessions:
    listening: int = 0
    others: int = 0
    over: Event = field(default_factory=Event)

    def sample(self, connection: Connection, pause: float = 0.02) -> None:
        while not self.over.wait(pause):
            counts = {row[0]: row[1] for row in connection.execute(_SESSIONS)}
            self.listening = max(self.listening, counts.get(True, 0))
            self.others = max(self.others, counts.get(False, 0))
            # Nothing but that would be measured when idle.
            pause = min(2 * pause, 0.5)


@contextmanager
def _sampled(connection: Connection) -> Iterator[_Sessions]:
    sessions = _Sessions()
    run: Callable[[], None] = lambda: sessions.sample(connection)  # noqa: E731
    thread = Thread(target=run)
    thread.start()
    try:
        yield sessions
    finally:
        sessions.over.set()
        thread.join()
