"""Projections declared in TOML."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from eventsourcing.application import Application
from eventsourcing.projection import EventSourcedProjection, Projection
from eventsourcing.tests.projection import AggregateEventCountersProjection
from eventsourcing.utils import construct_topic

from eventcounters import EventCounters
from eventsourcing_alchemy import Backoff, PoisonPolicy
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.operations.declarations import Declaration, declarations

HERE = __name__


class Shop(Application[Any]):
    pass


class Direct(Projection[EventCounters]):
    pass


class Derived(Direct):
    name = "derived"


class Sourced(EventSourcedProjection[Any]):
    pass


def declared(folder: Path, text: str) -> Declaration:
    file = folder / "pyproject.toml"
    file.write_text("[tool.eventsourcing-alchemy.projections.one]\n" + text)
    return declarations(file)["one"]


def topics(projection: str, application: str = "Shop") -> str:
    return f'application = "{HERE}:{application}"\nprojection = "{projection}"\n'


@pytest.mark.parametrize("name", ["Direct", "Derived"])
def test_the_view_follows_from_the_projection(tmp_path: Path, name: str) -> None:
    found = declared(tmp_path, topics(f"{HERE}:{name}"))
    assert found.application_class is Shop
    assert found.application_name == "Shop"
    assert found.view_class is EventCounters
    assert found.poison == PoisonPolicy()
    assert not found.is_event_sourced


def test_everything_declared(tmp_path: Path) -> None:
    found = declared(
        tmp_path,
        topics(f"{HERE}:Derived")
        + f'view = "{EventCounters.__module__}:EventCounters"\n'
        + "poison = { attempts = 5, dead_letter = true, longest_pause = 3 }\n"
        + "batch_size = 1\nlease_duration = 2.5\n",
    )
    assert found.view_class is EventCounters
    assert found.projection_name == "derived"
    assert found.options == {"batch_size": 1, "lease_duration": 2.5}
    assert found.poison == PoisonPolicy(
        attempts=5, backoff=Backoff(0.1, 3.0), dead_letter=True
    )


def test_a_projection_that_is_an_application(tmp_path: Path) -> None:
    assert declared(tmp_path, topics(f"{HERE}:Sourced")).is_event_sourced


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ('application = "a:B"', "one.projection is missing"),
        (topics("x:Y") + "view = 3", "view is 3: expected a topic"),
        (topics("x:Y") + "colour = 3", "colour is unknown: expected application"),
        (topics("x:Y") + "poison = 3", "poison is 3: expected a table"),
        (topics("x:Y") + "poison = {attempts = 0}", "attempts is 0: expected 1"),
        (topics("x:Y") + "poison = {attempts = '5'}", "attempts is '5': expected int"),
        (topics("x:Y") + "poison = {tries = 1}", "poison.tries is unknown"),
        (topics("x:Y") + "lease_duration = 'x'", "one.lease_duration is 'x'"),
        (topics("x:Y") + "lease_duration = nan", "one.lease_duration is nan"),
        (topics("x:Y") + "frozen_after = '1'", "one.frozen_after is '1'"),
        (topics("x:Y") + "batch_size = 1.5", "one.batch_size is 1.5: expected int"),
        (topics("x:Y") + "batch_size = 0", "one.batch_size is 0: expected 1"),
        ("application = ", "cannot be read"),
    ],
)
def test_what_cannot_be_used(tmp_path: Path, text: str, problem: str) -> None:
    with pytest.raises(ConfigurationError, match=problem):
        declared(tmp_path, text)


@pytest.mark.parametrize(
    ("projection", "problem"),
    [
        ("nowhere:Y", "one.projection: .*nowhere"),
        ("", "one.projection: Empty module name"),
        (f"{HERE}:Shop", "expected a subclass of Projection or Event"),
        (f"{HERE}:declared", "expected a subclass of Projection or Event"),
        (construct_topic(AggregateEventCountersProjection), "one.view is missing"),
    ],
)
def test_classes_that_are_not_there(
    tmp_path: Path, projection: str, problem: str
) -> None:
    found = declared(tmp_path, topics(projection))
    with pytest.raises(ConfigurationError, match=problem):
        _ = found.view_class
