"""Events of classes that were renamed or moved, selected by topic."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from types import ModuleType
from uuid import uuid4

import pytest
from eventsourcing.dcb.api import (
    DCBAppendCondition,
    DCBEvent,
    DCBQuery,
    DCBQueryItem,
)
from eventsourcing.persistence import IntegrityError, StoredEvent
from eventsourcing.utils import clear_topic_cache, get_topic, register_topic

from eventsourcing_alchemy import (
    SQLAlchemyApplicationRecorder,
    SQLAlchemyDCBRecorder,
    SQLAlchemyFactory,
)


class Order:
    class Created:
        """An event, by its present name."""

    class CreatedInBulk:
        """Another one, whose name begins with the same letters."""


HERE = __name__
FORMER_EVENT = "shop:Order.Placed"
FORMER_CLASS = "shop:Purchase"
FORMER_MODULE = "old_shop"


@pytest.fixture(autouse=True)
def registered() -> Iterator[None]:
    """What a user registers when an event, a class and a module get other names."""
    register_topic(FORMER_EVENT, Order.Created)
    register_topic(FORMER_CLASS, Order)
    register_topic(FORMER_MODULE, sys.modules[HERE])
    yield
    clear_topic_cache()


EVERY_NAME = [
    f"{HERE}:Order.Created",
    FORMER_EVENT,
    f"{FORMER_CLASS}.Created",
    f"{FORMER_MODULE}:Order.Created",
]
OTHERS = [f"{HERE}:Order.CreatedInBulk", f"{FORMER_CLASS}.Renamed", "other"]


@pytest.fixture
def recorder(factory: SQLAlchemyFactory) -> SQLAlchemyApplicationRecorder:
    """With an event of each name, between others."""
    recorder = factory.application_recorder()
    topics = [*OTHERS, *EVERY_NAME, *OTHERS]
    recorder.insert_events([StoredEvent(uuid4(), 1, each, b"") for each in topics])
    return recorder


@pytest.mark.parametrize("topic", EVERY_NAME)
def test_every_name_selects_the_events_of_all(
    recorder: SQLAlchemyApplicationRecorder, topic: str
) -> None:
    found = recorder.select_notifications(None, 99, topics=[topic])
    assert [each.topic for each in found] == EVERY_NAME
    with recorder.subscribe(topics=[topic]) as subscription:
        assert [next(subscription).topic for _ in EVERY_NAME] == EVERY_NAME


@pytest.fixture
def tagged(factory: SQLAlchemyFactory) -> SQLAlchemyDCBRecorder:
    """The same, with tags."""
    recorder = factory.dcb_recorder()
    types = [*OTHERS, *EVERY_NAME, *OTHERS]
    recorder.append([DCBEvent(type=each, data=b"", tags=["tag"]) for each in types])
    return recorder


@pytest.mark.parametrize("topic", EVERY_NAME)
@pytest.mark.parametrize("tags", [[], ["tag"]])
def test_every_name_selects_the_events_of_all_in_queries(
    tagged: SQLAlchemyDCBRecorder, topic: str, tags: list[str]
) -> None:
    query = DCBQuery(items=[DCBQueryItem(types=[topic], tags=tags)])
    assert [each.event.type for each in tagged.read(query)] == EVERY_NAME
    with tagged.subscribe(query) as subscription:
        assert [next(subscription).event.type for _ in EVERY_NAME] == EVERY_NAME
    event = DCBEvent(type="other", data=b"", tags=[])
    condition = DCBAppendCondition(fail_if_events_match=query, after=len(OTHERS) + 3)
    with pytest.raises(IntegrityError):
        tagged.append([event], condition)
    condition = DCBAppendCondition(fail_if_events_match=query, after=len(OTHERS) + 4)
    assert tagged.append([event], condition) == 2 * len(OTHERS) + 5


def test_what_else_is_registered_does_no_harm(
    recorder: SQLAlchemyApplicationRecorder,
) -> None:
    module = ModuleType("of_a_test")
    register_topic("an object", module.__getattribute__)
    assert get_topic(Order.Created) == EVERY_NAME[0]
    (found,) = recorder.select_notifications(None, 1, topics=["other"])
    assert found.topic == "other"
