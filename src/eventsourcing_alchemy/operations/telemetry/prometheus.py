"""Metrics in the text form of Prometheus, for `/metrics`."""

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import missing_extra
from eventsourcing_alchemy.operations.telemetry import INTERVAL, SCOPE, instrument

CONTENT_TYPE = "text/plain; version=0.0.4; charset=utf-8"


class PrometheusMetrics:
    """Metrics in the text form that Prometheus scrapes.

    Args:
        *datastores: the databases whose projections to report.
        interval: the minimum number of seconds between two queries of a database.
        of_process: whether to `instrument()` the process too. Otherwise, the metrics
            are only those of the databases.

    Raises:
        ConfigurationError: if the extra `prometheus` is not installed.
    """

    def __init__(
        self,
        *datastores: SQLAlchemyDatastore,
        interval: float = INTERVAL,
        of_process: bool = True,
    ) -> None:
        try:
            from opentelemetry.exporter.prometheus import PrometheusMetricReader
            from opentelemetry.sdk.metrics import MeterProvider
            from prometheus_client import CollectorRegistry
        except ModuleNotFoundError as error:
            raise missing_extra("prometheus", error) from None
        # Of its own: others may have registered theirs in the global one.
        self._registry = CollectorRegistry()
        reader = PrometheusMetricReader(
            scope_info_enabled=False, registry=self._registry
        )
        self._provider = MeterProvider([reader])
        if of_process:
            self._undo = instrument(
                *datastores, interval=interval, meter_provider=self._provider
            )
        else:
            from eventsourcing_alchemy.operations.telemetry.projections import (
                ProjectionGauges,
            )

            meter = self._provider.get_meter(SCOPE)
            self._undo = ProjectionGauges(meter, datastores, interval).close

    def text(self) -> bytes:
        """Returns all metrics, with the content type `CONTENT_TYPE`.

        It queries the databases, at most once in each interval.
        """
        from prometheus_client import generate_latest

        return generate_latest(self._registry)

    def close(self) -> None:
        """Ends the measurement."""
        self._undo()
        self._provider.shutdown()
