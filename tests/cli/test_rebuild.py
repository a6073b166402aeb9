"""`rebuild` and `reset`: by name, with progress and exit codes."""

from __future__ import annotations

from typing import Any

import pytest
from eventsourcing.persistence import Tracking
from sqlalchemy import create_engine, insert

from backends import Backend, Capability
from cli.command import Command
from cli.shop import DECLARED, UNLUCKY, Sales, SalesProjection, Shop
from eventsourcing_alchemy import PoisonPolicy, SQLAlchemyProjectionRunner
from eventsourcing_alchemy.schema import tables

pytestmark = pytest.mark.needs(Capability.SHARED)


def sold(shop: Shop) -> int:
    """What the view says, when its runner has caught up."""
    with SQLAlchemyProjectionRunner(
        application_class=Shop,
        projection_class=SalesProjection,
        view_class=Sales,
        poison=PoisonPolicy(dead_letter=True),
    ) as runner:
        runner.wait(shop.recorder.max_notification_id(), timeout=20)
        return runner.view.sold()


def test_rebuild(shop: Shop, command: Command) -> None:
    command.declare(DECLARED)
    product = shop.add("tea")
    for count in (1, 2, UNLUCKY):
        shop.sell(product, count)
    assert sold(shop) == 3
    result = command("rebuild", "sales", "--keep-old")
    assert "building: 1 of 4" in result.stderr
    assert "switching: 4 of 4" in result.stderr
    assert "sales is rebuilt." in result.stdout
    assert sold(shop) == 3
    refused = command("rebuild", "sales", code=5)
    assert "sales__old" in refused.stderr
    command("dead-letters", "list", code=1)
    # Of the rebuild, nothing is left that does not go on.
    (projection,) = command.json("status")["projections"]
    assert projection["name"] == "sales"


def test_an_event_that_cannot_be_processed(shop: Shop, command: Command) -> None:
    command.declare(DECLARED.replace("dead_letter = true", "dead_letter = false"))
    shop.sell(shop.add("tea"), UNLUCKY)
    assert sold(shop) == 0
    result = command("rebuild", "sales", code=1)
    assert "an event cannot be processed: ValueError: unlucky" in result.stderr


def test_a_row_that_the_database_refuses(
    shop: Shop, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is of an event: the database can be reached."""

    def process(self: Any, _event: Any, tracking: Tracking) -> None:
        with self.view.processing(tracking) as connection:
            connection.execute(insert(Sales.sales).values(product="tea", sold=None))

    command.declare(DECLARED.replace("dead_letter = true", "dead_letter = false"))
    shop.sell(shop.add("tea"), 5)
    assert sold(shop) == 5
    monkeypatch.setattr(SalesProjection, "process_event", process)
    result = command("rebuild", "sales", code=1)
    assert "an event cannot be processed: " in result.stderr
    assert "IntegrityError" in result.stderr


def test_what_is_wrong_with_no_event(
    shop: Shop, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is not told, nor has an exit code, as if one could not be processed."""

    def fail(*_: object, **__: object) -> None:
        raise OSError("no such file")

    command.declare(DECLARED)
    shop.sell(shop.add("tea"), 5)
    assert sold(shop) == 5
    monkeypatch.setattr(SalesProjection, "__init__", fail)
    with pytest.raises(OSError, match="no such file"):
        command("rebuild", "sales", code=1)


def test_reset(shop: Shop, command: Command) -> None:
    command.declare(DECLARED)
    shop.sell(shop.add("tea"), 5)
    assert sold(shop) == 5
    assert command.json("reset", "sales", "--yes")["projection"] == "sales"
    (projection,) = command.json("status")["projections"]
    assert projection["position"] == 0
    assert sold(shop) == 5


SHARING = """
from eventsourcing.projection import Projection

from cli.shop import Sales
from eventsourcing_alchemy import SQLAlchemyMaterialisedView


class Summary(SQLAlchemyMaterialisedView):
    metadata = Sales.metadata


class SummaryProjection(Projection[Summary]):
    name = "summary"

    def process_event(self, domain_event, tracking):
        self.view.insert_tracking(tracking)
"""
"""A module that nobody imports but who uses its projection."""

SHARING_DECLARED = """
[tool.eventsourcing-alchemy.projections.summary]
application = "cli.shop:Shop"
projection = "sharing:SummaryProjection"
"""


@pytest.mark.once
def test_tables_of_another_declared_projection(
    shop: Shop, command_process: Command, backend: Backend
) -> None:
    command = command_process
    (command.directory / "sharing.py").write_text(SHARING, encoding="utf-8")
    shop.sell(shop.add("tea"), 5)
    assert sold(shop) == 5
    engine = create_engine(backend.url)
    with engine.begin() as connection:
        connection.execute(insert(tables.tracking).values(("summary", "Shop", 1)))
    engine.dispose()
    commands = ("rebuild", "sales"), ("reset", "sales", "--yes")
    command.declare(DECLARED + SHARING_DECLARED)
    for each in commands:
        refused = command(*each, code=5)
        assert "sharing.Summary has the tables sales too" in refused.stderr
    command.declare(DECLARED + SHARING_DECLARED.replace("sharing:", "missing:"))
    for each in commands:
        refused = command(*each, code=2)
        assert "whether 'summary' shares tables with 'sales'" in refused.stderr
        assert "No module named 'missing'" in refused.stderr
    assert sold(shop) == 5
    command.declare(DECLARED)
    for each in commands:
        told = command(*each)
        assert "has not imported the projections 'summary'" in told.stderr


def test_what_is_refused_for_now(shop: Shop, command: Command) -> None:
    """With another exit code than a database that is out of reach."""
    command.declare(DECLARED)
    shop.sell(shop.add("tea"), 5)
    result = command("rebuild", "sales", code=5)
    assert "There is nothing to rebuild yet" in result.stderr
    with SQLAlchemyProjectionRunner(
        application_class=Shop, projection_class=SalesProjection, view_class=Sales
    ) as runner:
        runner.wait(shop.recorder.max_notification_id(), timeout=20)
        result = command("reset", "sales", "--yes", code=5)
        assert "stop the runners first" in result.stderr


def test_event_sourced_projections_are_refused(shop: Shop, command: Command) -> None:
    command.declare(DECLARED.replace("SalesProjection", "CopyOfSales"))
    assert shop.add("tea")
    result = command("rebuild", "sales", code=5)
    assert "keeps its state in events" in result.stderr
