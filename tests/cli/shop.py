"""An application, a view and projections, such as users declare."""

from __future__ import annotations

from functools import singledispatchmethod
from typing import Any
from uuid import UUID

from eventsourcing.application import Application
from eventsourcing.domain import Aggregate, event
from eventsourcing.persistence import Tracking
from eventsourcing.projection import EventSourcedProjection, Projection
from sqlalchemy import Column, Integer, MetaData, String, Table, func, select

from eventsourcing_alchemy import SQLAlchemyMaterialisedView, upsert

UNLUCKY = 13
"""The count of sales that the projection cannot process."""


class Product(Aggregate):
    @event("Added")
    def __init__(self, name: str) -> None:
        self.name = name
        self.sold = 0

    @event("Sold")
    def sell(self, count: int) -> None:
        self.sold += count


class Shop(Application[UUID]):
    def add(self, name: str) -> UUID:
        product = Product(name)
        self.save(product)
        return product.id

    def sell(self, product_id: UUID, count: int) -> int:
        product: Product = self.repository.get(product_id)
        product.sell(count)
        return self.save(product)[-1].notification.id


class Sales(SQLAlchemyMaterialisedView):
    metadata = MetaData()
    sales = Table(
        "sales",
        metadata,
        Column("product", String(36), primary_key=True),
        Column("sold", Integer, nullable=False),
    )

    def add(self, product_id: UUID, count: int, tracking: Tracking) -> None:
        row = {"product": str(product_id), "sold": count}
        grown = self.sales.c.sold + count
        with self.processing(tracking) as connection:
            connection.execute(upsert(self.sales, row, set_={"sold": grown}))

    def sold(self) -> int:
        with self.reading() as connection:
            total = select(func.coalesce(func.sum(self.sales.c.sold), 0))
            return int(connection.scalar(total) or 0)


class SalesProjection(Projection[Sales]):
    name = "sales"

    @singledispatchmethod
    def process_event(self, domain_event: Any, tracking: Tracking) -> None:
        count = getattr(domain_event, "count", 0)
        if count == UNLUCKY:
            raise ValueError("unlucky [bold]\x1b[2J")
        self.view.add(domain_event.originator_id, count, tracking)


class CopyOfSales(EventSourcedProjection[UUID]):
    name = "copy_of_sales"

    def policy(self, domain_event: Any, processing_event: Any) -> None:
        """Nothing of its own."""


DECLARED = """
[tool.eventsourcing-alchemy.projections.sales]
application = "cli.shop:Shop"
projection = "cli.shop:SalesProjection"
poison = { attempts = 1, dead_letter = true }
"""
