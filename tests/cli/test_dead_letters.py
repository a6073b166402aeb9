"""`dead-letters`: what was passed over, and what becomes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from eventsourcing.persistence import Tracking
from sqlalchemy import create_engine
from sqlalchemy.orm import scoped_session, sessionmaker

from backends import Backend, Capability
from cli import shop as shop_module
from cli.command import Command
from cli.shop import DECLARED, Sales, SalesProjection, Shop
from eventsourcing_alchemy import (
    DeadLetters,
    PoisonPolicy,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.database.scoped_sessions import ScopedSessionDatastore
from eventsourcing_alchemy.dialects.urls import normalise_url
from eventsourcing_alchemy.operations.dead_letters import (
    Place,
    discard_letter,
    place_of,
    select_dead_letters,
)
from factories import OpenFactory, construct_factory

pytestmark = pytest.mark.needs(Capability.SHARED)

PassedOver = Callable[..., UUID]


@pytest.fixture
def passed_over(shop: Shop) -> PassedOver:
    """Has a runner meet sales of some counts: that of 13 fails."""

    def meet(*counts: int) -> UUID:
        product_id = shop.add("book")
        last = [shop.sell(product_id, count) for count in counts][-1]
        with SQLAlchemyProjectionRunner(
            application_class=Shop,
            projection_class=SalesProjection,
            view_class=Sales,
            poison=PoisonPolicy(dead_letter=True),
        ) as runner:
            runner.wait(last, timeout=20)
        return product_id

    return meet


@pytest.mark.once
def test_list_and_show(passed_over: PassedOver, command_process: Command) -> None:
    command = command_process
    product_id = passed_over(1, 13, 13)
    (first, _) = command.json("dead-letters", "list", code=1)["dead_letters"]
    assert (first["projection_name"], first["notification_id"]) == ("sales", 3)
    assert first["originator_id"] == str(product_id)
    assert command.json("dead-letters", "list", "other")["dead_letters"] == []
    listed = command("dead-letters", "list", code=1).stdout
    assert r"ValueError: unlucky [bold]\x1b[2J" in listed
    shown = command("dead-letters", "show", "sales", "3").stdout
    assert 'raise ValueError("unlucky' in shown
    assert "\x1b" not in shown
    document = command.json("dead-letters", "show", "sales", "3")
    assert "Traceback" in document["dead_letter"]["traceback"]
    assert (
        "position 4711"
        in command("dead-letters", "show", "sales", "4711", code=2).stderr
    )
    assert command.json("status")["projections"][0]["dead_letters"] == 2


def test_discard(passed_over: PassedOver, command: Command) -> None:
    passed_over(13, 13, 1)
    command("dead-letters", "discard", "sales", code=2)
    command("dead-letters", "discard", "sales", "3", "4711", code=2)
    (outcome,) = command.json("dead-letters", "discard", "sales", "3")["outcomes"]
    assert outcome["problem"] is None
    assert "position 2" in command("dead-letters", "discard", "sales", "--all").stdout
    command("dead-letters", "list")


def test_retry(
    passed_over: PassedOver, command: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed_over(13, 1)
    command.declare(DECLARED)
    again = command.json("dead-letters", "retry", "sales", "2", code=1)
    assert "unlucky" in again["outcomes"][0]["problem"]
    assert (
        command.json("dead-letters", "show", "sales", "2")["dead_letter"]["attempts"]
        == 2
    )
    monkeypatch.setattr(shop_module, "UNLUCKY", 14)
    done = command("dead-letters", "retry", "sales", "--all").stdout
    assert "position 2 of 'Shop': processed" in done
    command("dead-letters", "list")
    other = command("dead-letters", "retry", "other", "--all", code=2)
    assert "declares 'sales'" in other.stderr


def test_where_operations_take_part_in_sessions(
    passed_over: PassedOver,
    command: Command,
    backend: Backend,
    topic_of: Callable[[object], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Nobody commits those of the command's process."""
    passed_over(13, 13)
    engine = create_engine(normalise_url(backend.url))
    session = scoped_session(sessionmaker(engine))
    command.variables["SQLALCHEMY_SCOPED_SESSION_TOPIC"] = topic_of(session)
    command.declare(DECLARED)
    monkeypatch.setattr(shop_module, "UNLUCKY", 14)
    command("dead-letters", "retry", "sales", "2")
    variables = command.environment()
    with closing(construct_factory("Shop", variables)) as factory:
        assert isinstance(factory.datastore, ScopedSessionDatastore)
        (letter,) = select_dead_letters(factory.datastore, limit=2)
        discard_letter(factory.datastore, letter)
    session.remove()
    engine.dispose()
    command("dead-letters", "list")


@pytest.mark.parametrize("options", [(), ("--json",)])
def test_an_interrupted_retry(
    passed_over: PassedOver,
    command: Command,
    monkeypatch: pytest.MonkeyPatch,
    options: tuple[str, ...],
) -> None:
    """It tells what it has done until then."""
    command.declare(DECLARED)

    def process(self: Any, _event: Any, tracking: Tracking) -> None:
        if tracking.notification_id == 3:
            raise KeyboardInterrupt
        self.view.insert_tracking(tracking)

    passed_over(13, 13)
    monkeypatch.setattr(SalesProjection, "process_event", process)
    result = command("dead-letters", "retry", "sales", "--all", *options, code=130)
    assert "Interrupted after 1 of 2 dead letters" in result.stderr
    if options:
        (outcome,) = json.loads(result.stdout)["outcomes"]
        assert (outcome["notification_id"], outcome["problem"]) == (2, None)
    else:
        assert "position 2 of 'Shop': processed" in result.stdout
    (left,) = command.json("dead-letters", "list", code=1)["dead_letters"]
    assert left["notification_id"] == 3


def test_of_a_view_in_another_database(
    open_factory: OpenFactory,
    passed_over: PassedOver,
    command: Command,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """By the variables of each projection, as all commands that take its name."""
    elsewhere = f"sqlite:///{tmp_path / 'views.db'}"
    monkeypatch.setenv("SALES_SQLALCHEMY_URL", elsewhere)
    passed_over(13)
    copies = DeadLetters(open_factory("copies").tracking_recorder())
    copies.record(Tracking("Shop", 1), "t:1", ValueError("no"), 1)
    for names in (["sales"], ["copies"], ["copies", "sales"], ["sales", "copies"]):
        listed = command.json("dead-letters", "list", *names, code=1)["dead_letters"]
        assert [each["projection_name"] for each in listed] == names
    both = ("dead-letters", "list", "sales", "copies")
    assert len(command.json(*both, "--limit", "1", code=1)["dead_letters"]) == 1
    (sales,) = command.json("status", "sales")["projections"]
    assert (sales["position"], sales["dead_letters"]) == (2, 1)
    assert (sales["state"], sales["lag_seconds"]) == ("orphaned", None)
    seen = command.json("status", "copies", "sales")
    assert [each["name"] for each in seen["projections"]] == ["copies", "sales"]
    assert [each["name"] for each in seen["applications"]] == ["Shop"]
    assert "'other'" in command("status", "sales", "other", code=2).stderr


def test_page_by_page(open_factory: OpenFactory) -> None:
    """In one order, wherever a page ends."""
    places = [
        Place(projection, application, position)
        for projection in ("a", "b", "\N{PILE OF POO}")
        for application in ("Bank", "bank")
        for position in (1, 2)
    ]
    for projection in {each.projection for each in places}:
        letters = DeadLetters(open_factory(projection).tracking_recorder())
        for each in places:
            if each.projection == projection:
                tracking = Tracking(each.application, each.position)
                letters.record(tracking, "t:1", ValueError("no"), 1)
    datastore = open_factory().datastore

    def pages(*names: str, limit: int) -> list[Place]:
        found: list[Place] = []
        while page := select_dead_letters(
            datastore, names, after=found[-1] if found else None, limit=limit
        ):
            found += map(place_of, page)
        return found

    assert sorted(pages(limit=100)) == places
    for limit in (1, 3, 5):
        assert pages(limit=limit) == pages(limit=100)
    assert pages("b", limit=3) == [each for each in places if each.projection == "b"]
