"""SQL as text, in which a view calls its tables by their names."""

from __future__ import annotations

import pytest
from eventsourcing.persistence import ProgrammingError
from sqlalchemy import (
    DDL,
    Column,
    Integer,
    MetaData,
    Table,
    insert,
    literal_column,
    select,
    text,
)

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
    "SELECT 1 -- don't\n FROM orders WHERE 'a' = 'b'",
    "SELECT 1 /* it's */ FROM orders WHERE 'a' = 'b'",
    "SELECT 1 AS \"o'clock\" FROM orders WHERE 'a' = 'b'",
    "SELECT 1 /*! FROM orders */",
    "WITH changed AS (UPDATE orders SET orders = 1 RETURNING 1) SELECT 1",
]

CAREFUL = [
    "SELECT id FROM orders__new",
    "SELECT 'orders', 'it''s FROM orders' /* FROM orders */ -- orders\n",
    "SELECT 1 AS reorders, 2 AS orders_, 3 AS orders2",
    "INSERT INTO orders__new VALUES (1, 1)",
]


@pytest.mark.needs(Capability.SHARED)
def test_what_is_refused(backend: Backend) -> None:
    """On each database, also where it would not understand the statement."""
    with connected(backend) as plain:
        engine = renamed(plain.engine, OtherNames(METADATA, plain.dialect))
    with engine.connect() as connection:
        METADATA.create_all(connection)
        for careless in CARELESS:
            with pytest.raises(ProgrammingError, match=r"(?i)table name 'orders'"):
                connection.execute(text(careless))
            with pytest.raises(ProgrammingError, match=r"(?i)table name 'orders'"):
                connection.exec_driver_sql(careless)
        with pytest.raises(ProgrammingError, match="table name 'orders'"):
            connection.execute(select(text("1 FROM orders")))
        with pytest.raises(ProgrammingError, match="table name 'orders'"):
            connection.execute(select(literal_column("(SELECT 1 FROM orders)")))
        with pytest.raises(ProgrammingError, match="table name 'orders'"):
            connection.execute(DDL("DELETE FROM orders"))  # type: ignore[no-untyped-call]


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
