"""The host's cases for recorders, with UUIDs and with text as originator IDs."""

from __future__ import annotations

import threading
from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    AggregateRecorder,
    ApplicationRecorder,
    ProcessRecorder,
    ProgrammingError,
    StoredEvent,
    TrackingRecorder,
)
from eventsourcing.tests import persistence

from eventsourcing_alchemy import SQLAlchemyFactory
from factories import OpenFactory
from hostcases import shipped
from leaks import PATIENCE

pytestmark = pytest.mark.least_privilege


class RecorderCase(persistence.RecorderTestCase):
    __test__ = False
    factory: SQLAlchemyFactory
    originator_id_type: str

    def new_originator_id(self) -> UUID | str:
        return uuid4() if self.originator_id_type == "uuid" else f"order-{uuid4()}"


class Aggregate(RecorderCase, persistence.AggregateRecorderTestCase):
    def create_recorder(self) -> AggregateRecorder:
        return self.factory.aggregate_recorder()


class Application(
    RecorderCase, persistence.ApplicationRecorderTestCase[ApplicationRecorder]
):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()

    def test_insert_subscribe(self) -> None:
        self.optional_test_insert_subscribe()


class Tracking(RecorderCase, persistence.TrackingRecorderTestCase):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.tracking_recorder()


class Process(RecorderCase, persistence.ProcessRecorderTestCase):
    def create_recorder(self) -> ProcessRecorder:
        return self.factory.process_recorder()


class ProcessAsApplication(Application):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.process_recorder()


class ProcessAsTracking(Tracking):
    def create_recorder(self) -> TrackingRecorder:
        return self.factory.process_recorder()


class NonInterleaving(RecorderCase, persistence.NonInterleavingNotificationIDsBaseCase):
    def create_recorder(self) -> ApplicationRecorder:
        return self.factory.application_recorder()


@pytest.mark.parametrize("originator_id_type", ["uuid", "text"])
@shipped(
    Aggregate,
    Application,
    Tracking,
    Process,
    ProcessAsApplication,
    ProcessAsTracking,
    NonInterleaving,
)
def test_recorder(
    case: type[RecorderCase],
    method: str,
    originator_id_type: str,
    open_factory: OpenFactory,
) -> None:
    test = case(method)
    test.originator_id_type = originator_id_type
    test.factory = open_factory(ORIGINATOR_ID_TYPE=originator_id_type)
    before = set(threading.enumerate())
    test.debug()
    # Some cases do not wait for the threads that they have told to stop. (Daemons are
    # ours, and end with the factory.)
    for thread in set(threading.enumerate()) - before:
        if not thread.daemon:
            thread.join(PATIENCE)


@pytest.mark.parametrize(
    "other", ["Shop ", "SHOP", "Sh\N{LATIN SMALL LETTER O WITH ACUTE}p"]
)
def test_names_that_some_databases_take_for_one(
    open_factory: OpenFactory, other: str
) -> None:
    """Each application has its own events, or the other name is refused."""
    recorder = open_factory("Shop").application_recorder()
    recorder.insert_events([StoredEvent(uuid4(), 1, "topic", b"")])
    refused = None
    try:
        another = open_factory(other).application_recorder()
    except ProgrammingError as error:
        refused = str(error)
    if refused is None:
        assert another.select_notifications(start=1, limit=10) == []
    else:
        assert f"{other!r} from 'Shop'" in refused
