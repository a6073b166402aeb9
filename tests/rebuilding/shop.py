"""A shop, and a view of it that uses much of what views can have."""

from __future__ import annotations

from typing import Any, ClassVar
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.dispatch import singledispatchmethod
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.projection import Projection
from sqlalchemy import (
    BigInteger,
    CheckConstraint,
    Column,
    Connection,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    UniqueConstraint,
    func,
    insert,
    select,
    update,
)

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert


class Order(Aggregate):
    def __init__(self, customer: str) -> None:
        self.customer = customer

    @event("LineAdded")
    def add_line(self, amount: int) -> None:
        self.amount = amount


class Shop(Application[UUID]):
    def order(self, customer: str, lines: int = 1) -> int:
        """An order of several lines; the position of its last event."""
        order = Order(customer)
        for amount in range(1, lines + 1):
            order.add_line(amount)
        return self.save(order)[-1].notification.id


class Orders(SQLAlchemyMaterialisedView):
    """Tables that refer to each other, with names given and generated."""

    metadata: ClassVar[MetaData] = MetaData()
    orders = Table(
        "orders",
        metadata,
        Column("id", Integer, primary_key=True),
        Column("originator", String(36), nullable=False, unique=True),
        Column("customer", String(50), nullable=False),
        # Of the same name as the table.
        Column("orders", Integer, nullable=False, server_default="0"),
        UniqueConstraint("customer", "originator", name="uq_orders_customer"),
        CheckConstraint("orders >= 0", name="ck_orders_number"),
        Index("ix_orders_customer", "customer"),
    )
    lines = Table(
        "order_lines",
        metadata,
        Column("id", BigInteger().with_variant(Integer, "sqlite"), primary_key=True),
        Column("order_id", ForeignKey(orders.c.id, name="fk_lines_order"), index=True),
        Column("amount", Integer, CheckConstraint("amount > 0"), nullable=False),
        Column("position", Integer, nullable=False, unique=True),
    )
    totals = Table(
        "shop_totals",
        metadata,
        Column("customer", String(50), primary_key=True),
        Column("lines", Integer, nullable=False),
    )

    def add(self, event: Any, tracking: Tracking) -> None:
        with self.processing(tracking) as connection:
            values = {
                "originator": str(event.originator_id),
                "customer": event.customer,
            }
            connection.execute(insert(self.orders).values(values))

    def add_line(self, event: Any, tracking: Tracking) -> None:
        orders, lines, totals = self.orders.c, self.lines, self.totals
        with self.processing(tracking) as connection:
            is_its = orders.originator == str(event.originator_id)
            order_id, customer = connection.execute(
                select(orders.id, orders.customer).where(is_its)
            ).one()
            connection.execute(
                insert(lines).values(
                    order_id=order_id,
                    amount=event.amount,
                    position=tracking.notification_id,
                )
            )
            connection.execute(
                update(self.orders).where(is_its).values(orders=orders.orders + 1)
            )
            row = {"customer": customer, "lines": 1}
            more = {"lines": totals.c.lines + 1}
            connection.execute(upsert(totals, row, set_=more))

    def positions(self) -> list[int]:
        with self.reading() as connection:
            return positions(connection)

    def number_of_lines(self) -> int:
        with self.reading() as connection:
            return connection.scalar(select(func.sum(self.totals.c.lines))) or 0

    def content(self) -> list[tuple[Any, ...]]:
        """What is there, without the keys that the database has made."""
        joined = select(
            self.orders.c.customer,
            self.orders.c.orders,
            self.lines.c.amount,
            self.lines.c.position,
        ).join_from(self.orders, self.lines)
        with self.reading() as connection:
            return [
                tuple(row) for row in connection.execute(joined.order_by("position"))
            ]


def positions(connection: Connection) -> list[int]:
    query = select(Orders.lines.c.position).order_by(Orders.lines.c.position)
    return list(connection.scalars(query))


class OrdersProjection(Projection[Orders]):
    name = "orders"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:  # noqa: ARG002
        self.view.insert_tracking(tracking)

    @process_event.register
    def _(self, domain_event: Order.Created, tracking: Tracking) -> None:
        self.view.add(domain_event, tracking)

    @process_event.register
    def _(self, domain_event: Order.LineAdded, tracking: Tracking) -> None:  # type: ignore[name-defined]
        self.view.add_line(domain_event, tracking)
