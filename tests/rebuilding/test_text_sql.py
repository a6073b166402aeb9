"""SQL as text, in which a view calls its tables by their names."""

from __future__ import annotations

import pytest
from eventsourcing.persistence import ProgrammingError
from sqlalchemy import Column, Integer, MetaData, Table, insert, select, text

from backends import Backend, Capability
from eventsourcing_alchemy.operations.rebuild.other_names import OtherNames
from eventsourcing_alchemy.operations.rebuild.renaming import renamed
from rebuilding.in_use import connected

METADATA = MetaData()
ORDERS = Table(
    "orders",
    METADATA,
    Column("id", Integer, primary_key=True),
    # Of the same name as the table.
    Column("orders", Integer, nullable=False),
)

CARELESS = [
    "UPDATE orders SET orders = 1",
    "UPDATE ORDERS SET orders = 1",
    "UPDATE OR REPLACE orders SET orders = 1",
    "UPDATE IGNORE orders SET orders = 1",
    "UPDATE [orders] SET orders = 1",
    "UPDATE `orders` SET orders = 1",
    'UPDATE "orders" SET orders = 1',
    "UPDATE /* each */ orders SET orders = 1",
    "UPDATE -- each\n orders SET orders = 1",
    "UPDATE main . orders SET orders = 1",
    'UPDATE "main"."orders" SET orders = 1',
    "UPDATE others, orders SET orders = 1",
    "UPDATE (SELECT 1) AS others, orders SET orders = 1",
    "INSERT orders VALUES (1, 1)",
    "INSERT IGNORE orders VALUES (1, 1)",
    "INSERT INTO /* x */ orders VALUES (1, 1)",
    "REPLACE orders VALUES (1, 1)",
    "DELETE orders FROM others, orders",
    "DELETE FROM ONLY(orders)",
    "DELETE FROM others USING more, orders",
    "TRUNCATE others, orders",
    "SELECT 1 FROM others, orders",
    "SELECT 1 FROM others JOIN more ON id = coalesce(1, 2), orders",
    "SELECT 1 FROM others JOIN more USING (id), orders",
    "SELECT 1 FROM (others, orders)",
    "SELECT 1 FROM others WHERE id IN orders",
    "SELECT 1 WHERE EXISTS (TABLE orders)",
    "SELECT 'it''s', (SELECT max(orders) FROM orders)",
    "WITH orders AS (SELECT 1) DELETE FROM orders",
    "WITH orders AS (SELECT * FROM orders) SELECT 1 FROM orders",
    "WITH changed AS (UPDATE orders SET orders = 1 RETURNING 1) SELECT 1",
]

CAREFUL = [
    "SELECT id, orders FROM orders__new",
    "SELECT o.orders FROM orders__new AS o WHERE orders > 0 AND (orders < 9)",
    "SELECT orders.id FROM orders__new AS orders ORDER BY id, orders",
    "SELECT id AS orders FROM orders__new",
    "SELECT 'FROM orders' /* FROM orders */ FROM orders__new",
    "SELECT coalesce(id, orders) FROM orders__new WHERE orders IN (1, orders)",
    "INSERT INTO orders__new (id, orders) VALUES (1, 1)",
    "UPDATE orders__new SET id = 1, orders = orders + 1",
    "WITH orders AS (SELECT 1 AS id) SELECT id FROM orders",
    "WITH RECURSIVE orders (n) AS (SELECT 1 UNION SELECT 2 FROM orders) SELECT 1",
]


@pytest.mark.needs(Capability.SHARED)
def test_what_is_refused(backend: Backend) -> None:
    """On each database, also where it would not understand the statement."""
    with connected(backend) as plain:
        engine = renamed(plain.engine, OtherNames(METADATA, plain.dialect))
    with engine.connect() as connection:
        METADATA.create_all(connection)
        for careless in CARELESS:
            with pytest.raises(ProgrammingError, match="table name 'orders'"):
                connection.execute(text(careless))


@pytest.mark.needs(Capability.SHARED)
def test_what_is_not_refused(backend: Backend) -> None:
    with connected(backend) as plain:
        engine = renamed(plain.engine, OtherNames(METADATA, plain.dialect))
    alias = ORDERS.alias("orders")
    expression = select(alias.c.orders).cte("orders")
    with engine.connect() as connection:
        METADATA.create_all(connection)
        for careful in CAREFUL:
            connection.execute(text(careful))
        connection.execute(insert(ORDERS), [{"id": n, "orders": n} for n in (2, 3)])
        found = connection.scalars(select(expression).where(expression.c.orders > 2))
        assert found.all() == [3]
