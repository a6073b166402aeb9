"""Connections of the pools of this process, by OpenTelemetry's conventions."""

from collections.abc import Callable, Iterable, Iterator

from opentelemetry.metrics import CallbackOptions, Meter, Observation
from sqlalchemy import URL, QueuePool

from eventsourcing_alchemy.database import engines
from eventsourcing_alchemy.operations.telemetry.attributes import (
    DB_SYSTEM,
    POOL_NAME,
    POOL_STATE,
)


def observe_pools(meter: Meter) -> Callable[[], None]:
    """Makes the instruments.

    Args:
        meter: makes them.

    Returns:
        Ends it.
    """
    is_closed = False

    def count(_: CallbackOptions) -> Iterable[Observation]:
        for pool, names in [] if is_closed else _pools():
            for state, connections in (
                ("idle", pool.checkedin()),
                ("used", pool.checkedout()),
            ):
                yield Observation(connections, {**names, POOL_STATE: state})

    def limit(_: CallbackOptions) -> Iterable[Observation]:
        for pool, names in [] if is_closed else _pools():
            overflow = pool._max_overflow  # noqa: SLF001 (there is no other way)
            if overflow >= 0:
                yield Observation(pool.size() + overflow, names)

    def close() -> None:
        nonlocal is_closed
        is_closed = True

    meter.create_observable_up_down_counter(
        "db.client.connection.count",
        [count],
        "{connection}",
        "Connections of a pool, by state",
    )
    meter.create_observable_up_down_counter(
        "db.client.connection.max",
        [limit],
        "{connection}",
        "Maximum number of connections of a pool",
    )
    return close


def _pools() -> Iterator[tuple[QueuePool, dict[str, str]]]:
    for each in engines.in_use():
        pool, url = each.engine.pool, each.engine.url
        if isinstance(pool, QueuePool):
            yield pool, {POOL_NAME: _name(url), DB_SYSTEM: url.get_backend_name()}


def _name(url: URL) -> str:
    place = url.host or ""
    if url.port is not None:
        place = f"{place}:{url.port}"
    return f"{place}/{url.database or ''}"
