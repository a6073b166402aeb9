"""The instruments: what is counted and timed where it happens."""

from collections.abc import Sequence

from opentelemetry.metrics import Histogram, Meter

_SECONDS = (
    0.0005,
    0.001,
    0.0025,
    0.005,
    0.01,
    0.025,
    0.05,
    0.1,
    0.25,
    0.5,
    1,
    2.5,
    5,
    10,
    30,
)
_SIZES = (1, 2, 5, 10, 20, 50, 100, 200, 500)


class Instruments:
    """All instruments.

    Args:
        meter: makes them.
    """

    def __init__(self, meter: Meter) -> None:
        def duration(name: str, description: str) -> Histogram:
            return _histogram(meter, name, "s", description, _SECONDS)

        def size(name: str, unit: str, description: str) -> Histogram:
            return _histogram(meter, name, unit, description, _SIZES)

        self.append_duration = duration(
            "eventsourcing.append.duration",
            "Time to store events, including retries",
        )
        self.append_events = meter.create_counter(
            "eventsourcing.append.events", "{event}", "Stored events"
        )
        self.append_conflicts = meter.create_counter(
            "eventsourcing.append.conflicts",
            "{append}",
            "Appends refused because of a conflict",
        )
        self.retries = meter.create_counter(
            "eventsourcing.retries",
            "{retry}",
            "Temporary failures that were retried",
        )
        self.append_group_size = size(
            "eventsourcing.append.group_size",
            "{append}",
            "Appends that shared a transaction",
        )
        self.batch_duration = duration(
            "eventsourcing.projection.batch.duration",
            "Time to process a batch of events",
        )
        self.batch_size = size(
            "eventsourcing.projection.batch.size",
            "{event}",
            "Events processed in one transaction",
        )
        self.processed = meter.create_counter(
            "eventsourcing.projection.events",
            "{event}",
            "Events that a projection passed in this process",
        )
        self.failures = meter.create_counter(
            "eventsourcing.projection.failures",
            "{attempt}",
            "Failed attempts to process an event",
        )
        self.passed_over = meter.create_counter(
            "eventsourcing.projection.passed_over",
            "{event}",
            "Events that became dead letters",
        )
        self.page_duration = duration(
            "eventsourcing.subscription.page.duration",
            "Time to read a page of events",
        )
        self.page_size = size(
            "eventsourcing.subscription.page.size", "{event}", "Events of a page"
        )
        self.wake_ups = meter.create_counter(
            "eventsourcing.subscription.wake_ups",
            "{wake_up}",
            "Looks for new events, by reason",
        )
        self.leases_held = meter.create_up_down_counter(
            "eventsourcing.lease.held", "{lease}", "Leases that this process holds"
        )
        self.leases_lost = meter.create_counter(
            "eventsourcing.lease.lost",
            "{lease}",
            "Leases that ran out, or were taken by another copy",
        )
        self.outages = meter.create_counter(
            "eventsourcing.outages", "{outage}", "Database outages that began"
        )
        self.outage_duration = duration(
            "eventsourcing.outage.duration", "Duration of ended outages"
        )


def _histogram(
    meter: Meter, name: str, unit: str, description: str, bounds: Sequence[float]
) -> Histogram:
    return meter.create_histogram(
        name, unit, description, explicit_bucket_boundaries_advisory=bounds
    )
