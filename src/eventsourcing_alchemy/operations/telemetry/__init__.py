"""Metrics and traces, by OpenTelemetry. It is imported where they are wanted only."""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from eventsourcing_alchemy import instrumentation
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import missing_extra
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.runners.lease import checked_duration

if TYPE_CHECKING:
    from opentelemetry.metrics import MeterProvider
    from opentelemetry.trace import TracerProvider

INTERVAL = 15.0
"""Seconds between two questions to the database."""


def instrument(
    *datastores: SQLAlchemyDatastore,
    interval: float = INTERVAL,
    meter_provider: "MeterProvider | None" = None,
    tracer_provider: "TracerProvider | None" = None,
) -> Callable[[], None]:
    """Measures and traces what this process does, by OpenTelemetry.

    The process counts most metrics itself, without queries. Lag and dead letters
    of projections come from the databases that you pass.

    Args:
        *datastores: the databases whose projections to report, whoever runs them.
        interval: the minimum number of seconds between two queries of a database.
            Collections in between report the last answer.
        meter_provider: makes the instruments; by default, the global provider.
        tracer_provider: makes the spans; by default, the global provider.

    Returns:
        A function that ends the measurement. Another call of `instrument()` ends it
        too.

    Raises:
        ConfigurationError: if `opentelemetry-api` is not installed.
        ProgrammingError: if the interval is not above 0, or you pass anything else
            than datastores.
    """
    checked_duration("interval", interval)
    _refuse_others(datastores)
    try:
        from opentelemetry import metrics, trace
    except ModuleNotFoundError as error:
        raise missing_extra("otel", error) from None
    from eventsourcing_alchemy.operations.telemetry.observer import TellingObserver
    from eventsourcing_alchemy.operations.telemetry.pools import observe_pools
    from eventsourcing_alchemy.operations.telemetry.projections import (
        ProjectionGauges,
    )

    meter = metrics.get_meter(SCOPE, meter_provider=meter_provider)
    tracer = trace.get_tracer(SCOPE, tracer_provider=tracer_provider)
    _end_last()
    gauges = ProjectionGauges(meter, datastores, interval)
    close_pools = observe_pools(meter)
    observer = TellingObserver(meter, tracer)
    instrumentation.install(observer)

    def undo() -> None:
        if instrumentation.observer is observer:
            instrumentation.install(instrumentation.NOBODY)
        close_pools()
        gauges.close()

    _undo.append(undo)
    return undo


_undo: list[Callable[[], None]] = []
"""Ends the last measurement."""


def _end_last() -> None:
    while _undo:
        _undo.pop()()


def _refuse_others(datastores: Sequence[object]) -> None:
    for each in datastores:
        if not isinstance(each, SQLAlchemyDatastore):
            msg = (
                f"instrument() was called with a {type(each).__name__}: pass "
                "datastores, such as app.recorder.datastore"
            )
            raise ProgrammingError(msg)


SCOPE = "eventsourcing_alchemy"
