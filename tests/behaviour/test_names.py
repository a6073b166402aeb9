"""Names that databases and drivers may misread are kept as they are, or refused."""

from __future__ import annotations

from uuid import UUID, uuid4

import pytest
from eventsourcing.persistence import (
    DataError,
    IntegrityError,
    StoredEvent,
    Tracking,
)
from sqlalchemy import make_url

from backends import Backend, Capability
from eventsourcing_alchemy.database.wakeups import hints
from eventsourcing_alchemy.errors import ConfigurationError
from factories import OpenFactory, construct_factory
from leaks import PATIENCE

NAMES = [
    "",
    "it's",
    'a "name"',
    "`name`",
    "'; DROP TABLE es_events; --",
    "%",
    "%%",
    "%s",
    "%(name)s",
    ":name",
    "\\",
    "\\'",
    "{}",
    "$1",
    "?",
    "__[SCHEMA__none]",
    "🙂",
    " name ",
    "name",
    "Name",
    "new\nline",
    "x" * 255,
    "🙂" * 255,
]


def an_event(
    originator_id: UUID | str, topic: str = "topic", state: str = ""
) -> StoredEvent:
    return StoredEvent(originator_id, 1, topic, state.encode())


class TestKept:
    @pytest.mark.needs(Capability.SHARED)
    def test_applications(self, open_factory: OpenFactory) -> None:
        originator_id = uuid4()
        recorders = {name: open_factory(name).application_recorder() for name in NAMES}
        events = {name: an_event(originator_id, state=name) for name in NAMES}
        for name, recorder in recorders.items():
            assert recorder.insert_events([events[name]]) == [1]
        for name, recorder in recorders.items():
            assert recorder.select_events(originator_id) == [events[name]]
            (notification,) = recorder.select_notifications(None, 2)
            assert notification.state == events[name].state
            with recorder.subscribe() as subscription:
                assert next(subscription).state == events[name].state

    def test_topics_and_ids(self, open_factory: OpenFactory) -> None:
        recorder = open_factory(ORIGINATOR_ID_TYPE="text").application_recorder()
        events = [an_event(name, name) for name in NAMES]
        recorder.insert_events(events)
        for position, name in enumerate(NAMES, 1):
            assert recorder.select_events(name) == [an_event(name, name)]
            (found,) = recorder.select_notifications(None, 99, topics=[name])
            assert (found.id, found.topic) == (position, name)
        some = NAMES[1::2]
        with recorder.subscribe(topics=some) as subscription:
            assert [next(subscription).originator_id for _ in some] == some

    def test_purposes(self, open_factory: OpenFactory) -> None:
        factory, originator_id = open_factory(), uuid4()
        recorders = {name: factory.aggregate_recorder(name) for name in NAMES}
        for name, recorder in recorders.items():
            recorder.insert_events([an_event(originator_id, name)])
        for name, recorder in recorders.items():
            assert recorder.select_events(originator_id) == [
                an_event(originator_id, name)
            ]

    @pytest.mark.needs(Capability.SHARED)
    def test_projections(self, open_factory: OpenFactory) -> None:
        views = [open_factory(name).tracking_recorder() for name in NAMES]
        for position, view in enumerate(views, 1):
            for upstream in NAMES:
                view.insert_tracking(Tracking(upstream, position))
        for position, view in enumerate(views, 1):
            for upstream in NAMES:
                assert view.max_tracking_id(upstream) == position
                view.wait(upstream, position, timeout=0)
            with pytest.raises(IntegrityError) as failure:
                view.insert_tracking(Tracking(view.name, position))
            assert f"{position} of {view.name!r}" in str(failure.value)

    @pytest.mark.needs(Capability.NOTIFY)
    def test_announcements(self, backend: Backend, open_factory: OpenFactory) -> None:
        """By connections that this process cannot know to be of one database."""
        url = make_url(backend.url).set(query={"application_name": "writer"})
        writers = url.render_as_string(hide_password=False)
        for name in NAMES:
            writer = open_factory(name, SQLALCHEMY_URL=writers).application_recorder()
            reader = open_factory(name).application_recorder()
            with (
                reader.subscribe(),
                hints.waiting(reader.reader.events_topic) as waiter,
            ):
                writer.insert_events([an_event(uuid4())])
                assert waiter.wait(PATIENCE)

    @pytest.mark.parametrize("name", NAMES[1:])
    def test_prefixes_of_variables(self, name: str) -> None:
        variable = f"{name.upper()}_SQLALCHEMY_POOL_SIZE"
        env = {"PERSISTENCE_MODULE": "eventsourcing_alchemy", variable: "many"}
        with pytest.raises(ConfigurationError) as failure:
            construct_factory(name, env)
        assert str(failure.value).startswith(f"{variable}: 'many' is not a whole")


@pytest.mark.parametrize("name", ["a\0b", "a\ud83d", "x" * 1025])
def test_names_that_no_database_stores(name: str, open_factory: OpenFactory) -> None:
    factory = open_factory(ORIGINATOR_ID_TYPE="text")
    recorder, tracking = factory.application_recorder(), factory.tracking_recorder()
    shown = name if len(name) < 40 else name[:40] + "…"
    for refuse in (
        lambda: open_factory(name).application_recorder(),
        lambda: open_factory(name).tracking_recorder(),
        lambda: open_factory(name).process_recorder(),
        lambda: factory.aggregate_recorder(name),
        lambda: recorder.insert_events([an_event(name)]),
        lambda: recorder.insert_events([an_event("id", name)]),
        lambda: recorder.select_events(name),
        lambda: recorder.select_notifications(None, 1, topics=[name]),
        lambda: recorder.subscribe(topics=[name]),
        lambda: tracking.insert_tracking(Tracking(name, 1)),
        lambda: tracking.max_tracking_id(name),
        lambda: tracking.wait(name, 1),
    ):
        with pytest.raises(DataError) as failure:
            refuse()
        assert repr(shown) in str(failure.value)
    assert recorder.max_notification_id() is None
