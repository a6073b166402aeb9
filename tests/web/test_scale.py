"""Every list is an index range: a million events make no difference."""

from __future__ import annotations

from time import perf_counter

import pytest
from eventsourcing.persistence import Tracking
from sqlalchemy import text
from starlette.testclient import TestClient

from backends import Capability
from behaviour.workers import new_events
from eventsourcing_alchemy.web import create_app
from factories import OpenFactory
from positions import Positions

pytestmark = [pytest.mark.faults, pytest.mark.needs(Capability.SEARCH_PATH)]

EVENTS = 1_000_000
LONGEST = 0.5
"""Seconds for a page, on a busy machine."""

FILL = """
    INSERT INTO es_events (application_id, notification_id, originator_id,
                           originator_version, topic, state)
    SELECT 1, n, ('00000000-0000-4000-8000-' || lpad((n / 10)::text, 12, '0'))::uuid,
           n % 10 + 1, CASE WHEN n % 500000 = 7 THEN 'rare' ELSE 'common' END,
           convert_to('{"n": ' || n || '}', 'UTF8')
    FROM generate_series(2, :events) n
"""

SKIP = """
    INSERT INTO es_dead_letters (projection_name, application_name, notification_id,
                                 topic, error, attempts)
    SELECT 'slow', 'Application', n, 'common', 'ValueError', 1
    FROM generate_series(10, 30000) n
"""


def test_a_million_events(open_factory: OpenFactory) -> None:
    factory = open_factory()
    factory.application_recorder().insert_events(new_events())
    with factory.datastore.transaction() as connection:
        connection.execute(text(FILL), {"events": EVENTS})
        connection.execute(
            text("UPDATE es_applications SET last_notification_id = :events"),
            {"events": EVENTS},
        )
    open_factory("slow").tracking_recorder(Positions).note(Tracking("Application", 9))
    with factory.datastore.transaction() as connection:
        connection.execute(text(SKIP))
    client = TestClient(
        create_app(factory.datastore, interval=0.001), base_url="http://127.0.0.1"
    )
    for each in ("/events", "/metrics"):  # What is imported and compiled once.
        client.get(each)
    for address in (
        "/",
        "/projection?name=slow&application=Application",
        "/events?application=Application",
        "/events?application=Application&before=500000",
        "/events?application=Application&before=10",
        "/events?application=Application&after=999990",
        "/events?application=Application&topic=rare",
        "/events?application=Application&topic=nothing",
        f"/event?application=Application&position={EVENTS // 2}",
        "/aggregate?application=Application&id=00000000-0000-4000-8000-000000050000",
        "/dead-letters",
        "/dead-letters?projection=slow",
        "/dead-letters?after=29000&after_projection=slow&after_application=Application",
        "/dead-letter?projection=slow&application=Application&position=20000",
        "/metrics",
    ):
        began = perf_counter()
        answer = client.get(address)
        took = perf_counter() - began
        assert answer.status_code == 200, address
        assert took < LONGEST, f"{address} took {took:.2f} s"
