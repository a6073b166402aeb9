"""Tables that another projection may have, which the process may know or not."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from eventsourcing.persistence import ProgrammingError
from eventsourcing.projection import Projection
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    Table,
    insert,
    inspect,
    make_url,
    select,
    text,
)
from sqlalchemy.schema import CreateSchema, DropSchema

from backends import Backend, Capability
from eventsourcing_alchemy import SQLAlchemyMaterialisedView
from eventsourcing_alchemy.schema.tables import tracking
from rebuilding.in_use import InUse, connected
from rebuilding.shop import Orders

pytestmark = pytest.mark.needs(Capability.SHARED)


class Base(SQLAlchemyMaterialisedView):
    """Has no tables; runners are told to use a variant."""


class BaseProjection(Projection[Base]):
    name = "base"

    def process_event(self, domain_event: object, tracking: object) -> None:
        """Nothing."""


@pytest.fixture
def variant() -> Iterator[type[Base]]:
    class Variant(Base):
        metadata = Orders.metadata

    yield Variant
    Variant.metadata = MetaData()  # The class stays, in the other tests, too.


def process(backend: Backend, projection: str) -> None:
    """As if a projection had processed an event."""
    with connected(backend) as connection:
        connection.execute(insert(tracking).values((projection, "Shop", 1)))
        connection.commit()


@pytest.mark.usefixtures("variant")
def test_variant_that_a_runner_uses(in_use: InUse, backend: Backend) -> None:
    process(backend, BaseProjection.name)
    for refused in (in_use.rebuild, in_use.reset):
        with pytest.raises(ProgrammingError, match=r"'base' has .*Variant has the t"):
            refused()


def test_projection_that_is_not_imported(
    in_use: InUse, backend: Backend, caplog: pytest.LogCaptureFixture
) -> None:
    for name in ("elsewhere", "elsewhere (rebuild)", BaseProjection.name):
        process(backend, name)
    for reported in (in_use.rebuild, in_use.reset):
        caplog.clear()
        reported()
        (warning,) = (each for each in caplog.messages if "not imported" in each)
        assert "the projections 'elsewhere', which" in warning


def test_rebuild_that_was_interrupted(
    in_use: InUse, backend: Backend, variant: type[Base]
) -> None:
    """Its position is of no projection that may have another view."""
    process(backend, "elsewhere (rebuild)")
    assert variant.metadata is Orders.metadata
    in_use.rebuild()


REGULARS = Table("regulars", MetaData(), Column("id", Integer, primary_key=True))
"""Of the view's user, who declares a database view beside the tables."""


@pytest.fixture
def customers(backend: Backend) -> Iterator[Table]:
    """A table that is of no view, and a database view of it that one declares."""
    customers = REGULARS.to_metadata(MetaData(), name="customers")
    with connected(backend) as connection:
        customers.create(connection)
        connection.execute(insert(customers).values(id=1))
        query = "SELECT id FROM customers"
        connection.execute(text(f"CREATE VIEW {REGULARS.name} AS {query}"))
        connection.commit()
    declared = REGULARS.to_metadata(Orders.metadata)
    yield customers
    Orders.metadata.remove(declared)


def test_database_view_of_another_table(
    in_use: InUse, backend: Backend, customers: Table
) -> None:
    """To delete its rows, or to put a table in its place, would harm others."""
    for refused in (in_use.rebuild, in_use.reset):
        with pytest.raises(ProgrammingError, match=r"database views \(regulars\)"):
            refused()
    with connected(backend) as connection:
        assert connection.scalars(select(customers.c.id)).all() == [1]
        assert inspect(connection).get_view_names() == [REGULARS.name]


@pytest.mark.needs(Capability.SERVER)
def test_database_view_of_another_schema(in_use: InUse, backend: Backend) -> None:
    """Which has a table of the same name, and views of columns of that name."""
    other = f"{make_url(backend.url).database}_other"
    with connected(backend) as connection:
        connection.execute(CreateSchema(other))
        try:
            table = Table("orders", MetaData(schema=other), Column("orders", Integer))
            table.create(connection)
            quoted = connection.dialect.identifier_preparer.quote(other)
            query = f"SELECT orders FROM {quoted}.orders"  # noqa: S608
            connection.execute(text(f"CREATE VIEW {quoted}.report AS {query}"))
            connection.commit()
            in_use.rebuild()
        finally:
            connection.rollback()
            cascade = Capability.SCHEMAS in backend.capabilities
            connection.execute(DropSchema(other, cascade=cascade))
            connection.commit()
