"""When an outage begins and ends, for all who use a database in this process."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from behaviour.workers import new_events
from eventsourcing_alchemy import SQLAlchemyFactory
from eventsourcing_alchemy.database.retrying import Endurance


def never() -> bool:
    return False


@pytest.mark.parametrize("is_enduring", [True, False])
def test_what_was_under_way_does_not_end_an_outage(
    factory: SQLAlchemyFactory, is_enduring: bool
) -> None:
    recorder = factory.application_recorder()
    datastore = recorder.datastore
    enduring = Endurance(datastore.dialect, datastore.outage, lambda _: None, never)

    def call(attempt: Callable[[], object]) -> None:
        (enduring.call if is_enduring else datastore.retrying)(attempt)

    def succeed_while_it_begins() -> None:
        recorder.insert_events(new_events())
        datastore.outage.begin(ConnectionError("as another thread noticed"))

    call(succeed_while_it_begins)
    assert datastore.outage.is_on
    call(recorder.max_notification_id)
    assert not datastore.outage.is_on
