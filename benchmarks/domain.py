"""An application such as users write, whose events all contestants store."""

from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event


class Order(Aggregate):
    """An order, with about 20 events in its life."""

    def __init__(self, customer: str, currency: str) -> None:
        self.customer = customer
        self.currency = currency
        self.items: list[str] = []

    @event("ItemAdded")
    def add_item(self, product: str, quantity: int) -> None:
        """Adds an item."""
        self.items.append(f"{quantity} {product}")


class LoanApplication(Aggregate):
    """An application for a loan, which begins with the step that submits it."""

    def __init__(
        self, amount: int, activity: str, transition: str, resource: str, at: str
    ) -> None:
        self.amount = amount
        self.steps = [(activity, transition, resource, at)]

    @event("ActivityRecorded")
    def record(self, activity: str, transition: str, resource: str, at: str) -> None:
        """Records a step of the process."""
        self.steps.append((activity, transition, resource, at))


class Shop(Application[UUID]):
    """Orders."""


class Bank(Application[UUID]):
    """Loan applications."""


def new_order(number: int) -> Order:
    """An order with one event."""
    return Order(customer=f"customer-{number:08}", currency="EUR")


def add_item(order: Order, number: int) -> None:
    """Adds an item, which is one event of about 150 bytes."""
    product = f"product-{number:08} of the spring catalogue"
    order.add_item(product=product, quantity=1 + number % 9)
