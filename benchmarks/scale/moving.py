"""Moving in: a copy of the library's own tables, and its verification."""

import gc
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path
from time import perf_counter

from eventsourcing.persistence import InfrastructureFactory
from eventsourcing.utils import Environment
from sqlalchemy import NullPool, create_engine, make_url, text

from benchmarks.scale.findings import Figure, Findings
from benchmarks.scale.memory import memory
from eventsourcing_alchemy import CopyPhase, CopyProgress, copy

PART = "moving"
NAME = "Shop"
RATES = {"postgresql": 50_000, "sqlite": 100_000}
"""Events that are to be copied in a second, at the least."""

MEMORY = 100.0
"""Megabytes that the process may have."""

_FILLING = {
    "postgresql": """
        INSERT INTO shop_events (originator_id, originator_version, topic, state)
        SELECT CAST(md5(CAST(n / 10 AS text)) AS uuid), n % 10 + 1,
        'benchmarks.domain:Order.LineAdded', convert_to(repeat(md5(CAST(n AS text)), 5),
        'utf8') FROM generate_series(0, :events - 1) AS n
    """,
    "sqlite": """
        WITH RECURSIVE numbers (n) AS (
            SELECT 0 UNION ALL SELECT n + 1 FROM numbers WHERE n < :events - 1)
        INSERT INTO stored_events
        SELECT printf('%08x-0000-4000-8000-%012x', n / 10 * 2654435761 % 4294967296,
        n / 10), n % 10 + 1, 'benchmarks.domain:Order.LineAdded',
        CAST(printf('{"n": %0148d}', n) AS BLOB) FROM numbers
    """,
}


def measure(kind: str, environment: dict[str, str], events: int) -> Findings:
    """Copies the events of an application, and compares both sides.

    Args:
        kind: of the database, which is empty.
        environment: variables of the target.
        events: how many to copy.
    """
    source = _source(kind, environment)
    _fill(kind, source, events)
    gc.collect()
    # From here on, the peak is that of the copy.
    Path("/proc/self/clear_refs").write_text("5")
    begun, ended = perf_counter(), dict.fromkeys(CopyPhase, 0.0)

    def told(progress: CopyProgress) -> None:
        ended[progress.phase] = perf_counter()

    copy(source, environment, NAME, progress=told)
    copying = ended[CopyPhase.EVENTS] - begun
    verifying = ended[CopyPhase.VERIFYING] - ended[CopyPhase.EVENTS]
    title = f"copy of {events:,} events"
    return Findings(
        [
            Figure(PART, kind, title, copying, "s", None, events / RATES[kind]),
            Figure(PART, kind, f"{title}: comparison", verifying, "s"),
            Figure(PART, kind, f"{title}: peak", memory("VmHWM"), "MB", None, MEMORY),
        ]
    )


def _source(kind: str, environment: Mapping[str, str]) -> dict[str, str]:
    """Settings of the library's own module, for another file or the same database."""
    url = make_url(environment["SQLALCHEMY_URL"])
    if kind == "sqlite":
        return {
            "PERSISTENCE_MODULE": "eventsourcing.sqlite",
            "SQLITE_DBNAME": f"{url.database}.old.db",
        }
    return {
        "PERSISTENCE_MODULE": "eventsourcing.postgres",
        "POSTGRES_DBNAME": url.database or "",
        "POSTGRES_HOST": url.host or "",
        "POSTGRES_PORT": str(url.port),
        "POSTGRES_USER": url.username or "",
        "POSTGRES_PASSWORD": str(url.password or ""),
    }


def _fill(kind: str, source: Mapping[str, str], events: int) -> None:
    environment = Environment(NAME, dict(source))
    with closing(InfrastructureFactory.construct(environment)) as factory:
        factory.application_recorder()
    drivers = {"postgresql": "postgresql+psycopg", "sqlite": "sqlite"}
    get = {**source}.get
    url = make_url(f"{drivers[kind]}://").set(
        username=get("POSTGRES_USER"),
        password=get("POSTGRES_PASSWORD") or None,
        host=get("POSTGRES_HOST"),
        port=int(get("POSTGRES_PORT", 0)) or None,
        database=get("POSTGRES_DBNAME") or get("SQLITE_DBNAME"),
    )
    with create_engine(url, poolclass=NullPool).begin() as connection:
        connection.execute(text(_FILLING[kind]), {"events": events})
