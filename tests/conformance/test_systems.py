"""Systems of the host, whose followers process what their leaders record."""

from __future__ import annotations

from uuid import NAMESPACE_URL, UUID, uuid5

import pytest
from eventsourcing.application import ProcessingEvent
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, DomainEventProtocol, event
from eventsourcing.projection import EventSourcedProjection
from eventsourcing.system import (
    Follower,
    Leader,
    MultiThreadedRunner,
    NewMultiThreadedRunner,
    NewSingleThreadedRunner,
    ProcessApplication,
    Runner,
    SingleThreadedRunner,
    System,
)

pytestmark = pytest.mark.least_privilege


class Order(Aggregate):
    class Placed(Aggregate.Created):
        item: str

    @event(Placed)
    def __init__(self, item: str) -> None:
        self.item = item


class Invoice(Aggregate):
    class Issued(Aggregate.Created):
        order_id: UUID

    @event(Issued)
    def __init__(self, order_id: UUID) -> None:
        self.order_id = order_id

    @staticmethod
    def create_id(order_id: UUID) -> UUID:
        return uuid5(NAMESPACE_URL, f"/invoices/{order_id}")


class Tally(Aggregate):
    @event("Started")
    def __init__(self) -> None:
        self.value = 0

    @event("Raised")
    def raise_(self) -> None:
        self.value += 1

    @staticmethod
    def create_id() -> UUID:
        return uuid5(NAMESPACE_URL, "/tally")


class Orders(Leader[UUID]):
    def place(self, item: str) -> UUID:
        order = Order(item)
        self.save(order)
        return order.id


class Invoices(ProcessApplication[UUID]):
    @singledispatchmethod
    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        if isinstance(domain_event, Order.Placed):
            processing_event.collect_events(Invoice(domain_event.originator_id))


class Totals(Follower[UUID]):
    @singledispatchmethod
    def policy(
        self,
        domain_event: DomainEventProtocol[UUID],
        processing_event: ProcessingEvent[UUID],
    ) -> None:
        if isinstance(domain_event, Invoice.Issued):
            tally = self.tally()
            tally.raise_()
            processing_event.collect_events(tally)

    def tally(self) -> Tally:
        if Tally.create_id() in self.repository:
            return self.repository.get(Tally.create_id())
        return Tally()


RUNNERS = [
    SingleThreadedRunner,
    NewSingleThreadedRunner,
    MultiThreadedRunner,
    NewMultiThreadedRunner,
]


@pytest.mark.parametrize("runner_class", RUNNERS)
def test_system(runner_class: type[Runner[UUID]], env: dict[str, str]) -> None:
    system = System([[Orders, Invoices, Totals]])

    with runner_class(system, env) as runner:
        orders, invoices = runner.get(Orders), runner.get(Invoices)
        order_ids = [orders.place(f"item {number}") for number in range(20)]
        wait_for(invoices, orders.name, 20)
        wait_for(runner.get(Totals), invoices.name, 20)

        for order_id in order_ids:
            invoice: Invoice = invoices.repository.get(Invoice.create_id(order_id))
            assert invoice.order_id == order_id
        assert runner.get(Totals).tally().value == 20


def wait_for(
    follower: EventSourcedProjection[UUID], upstream: str, position: int
) -> None:
    follower.recorder.wait(upstream, position, timeout=10)
