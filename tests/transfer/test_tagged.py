"""Events with tags move in, too."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import closing

import pytest
from eventsourcing.dcb.api import DCBEvent, DCBQuery, DCBQueryItem
from eventsourcing.dcb.persistence import DCBInfrastructureFactory
from eventsourcing.persistence import ProgrammingError, StoredEvent
from eventsourcing.utils import Environment

from backends import Backend, Capability
from behaviour.test_names import NAMES
from eventsourcing_alchemy import Copied, VerificationError, copy
from eventsourcing_alchemy.operations.verify import verify
from factories import OpenFactory
from transfer.conftest import postgres_env
from transfer.histories import uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)

TAGS = [name for name in NAMES if name]
EVENTS = [
    DCBEvent("Opened", b"\0\xff data", ["account", "ada"]),
    DCBEvent("Credited", b"", ["ada", "account", "ada"]),
    DCBEvent("Noted", b"no tags", []),
    DCBEvent("it's", b"hostile", TAGS),
]


def append(env: Mapping[str, str], *events: DCBEvent) -> None:
    environment = Environment("Bank", dict(env))
    with closing(DCBInfrastructureFactory.construct(environment)) as factory:
        factory.dcb_recorder().append(events)


class TestFromOurs:
    table = "es_dcb_events"
    position = "position"

    @pytest.fixture
    def old(self, ours: Origin) -> Env:
        return ours.env

    def test_events(self, old: Env, env: Env, open_factory: OpenFactory) -> None:
        append(old, *EVENTS[:3])
        append(old, EVENTS[3])
        assert copy(old, env, "Bank") == Copied(4, 0, 4, {}, verified=4)
        factory = open_factory("Bank")
        recorder = factory.dcb_recorder()
        assert [each.event for each in recorder.read()] == EVENTS
        assert recorder.head() == 4
        for tag, position in ("account", 2), ("it's", 1):
            query = DCBQuery([DCBQueryItem(tags=[tag])])
            assert len(list(recorder.read(query))) == position
        assert list(verify(factory.datastore)) == []

        append(old, EVENTS[0])
        assert copy(old, env, "Bank").events == 1
        assert recorder.append([EVENTS[1]]) == 6
        with pytest.raises(ProgrammingError, match="events of its own"):
            copy(old, env, "Bank")


@pytest.mark.needs(Capability.NOTIFY)
class TestFromPostgres(TestFromOurs):
    @pytest.fixture
    def old(self, backend: Backend) -> Env:
        return postgres_env(backend, "eventsourcing.dcb.postgres_tt")


def test_difference(ours: Origin, env: Env) -> None:
    append(ours.env, *EVENTS)
    copy(ours.env, env, "Bank")
    ours.execute("UPDATE es_dcb_events SET type = 'Another' WHERE position = 2")
    ours.execute("UPDATE es_dcb_events SET tags = '[]' WHERE position = 1")
    with pytest.raises(VerificationError) as failure:
        copy(ours.env, env, "Bank")
    assert [(each.position, each.problem) for each in failure.value.discrepancies] == [
        (1, "differs in tags"),
        (2, "differs in type"),
    ]


def test_refuses_events_of_several_kinds(ours: Origin, env: Env) -> None:
    append(ours.env, *EVENTS)
    ours.record("Bank", [StoredEvent(uuids(1)[0], 1, "topic", b"")])
    with pytest.raises(ProgrammingError, match="es_events and es_dcb_events"):
        copy(ours.env, env, "Bank")
