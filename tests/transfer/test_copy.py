"""Applications move in from every module, as they were, and can be moved on."""

from __future__ import annotations

from pathlib import Path
from uuid import uuid4

import pytest
from eventsourcing.persistence import ProgrammingError, StoredEvent, Tracking
from sqlalchemy import delete, make_url, update

from backends import Backend, Capability
from eventsourcing_alchemy import (
    ConfigurationError,
    Copied,
    VerificationError,
    compare,
    copy,
    metadata,
)
from eventsourcing_alchemy.operations.reading import UnknownNameError
from factories import OpenFactory
from transfer.histories import history, notifications, recorded, uuids
from transfer.origins import Env, Origin

pytestmark = pytest.mark.needs(Capability.SHARED)


class TestFromEachModule:
    def test_events_snapshots_and_positions(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        ids = uuids(5)
        events = history(ids)
        snapshots = [StoredEvent(each, 2, "snapshot", each.bytes) for each in ids]
        origin.record("Bank", events)
        origin.snapshot("Bank", snapshots)
        origin.track("Totals", Tracking("Bank", 7), Tracking("Shop", 3))

        copied = copy(origin.env, env, "Bank", ["Totals"])

        positions = {"Totals": {"Bank": 7, "Shop": 3}}
        assert copied == Copied(15, 5, 15, positions, verified=20)
        assert recorded(open_factory) == notifications(events)
        recorder = open_factory("Bank").aggregate_recorder("snapshots")
        for snapshot in snapshots:
            assert recorder.select_events(snapshot.originator_id) == [snapshot]
        view = open_factory("Totals").tracking_recorder()
        assert view.max_tracking_id("Bank") == 7
        assert view.max_tracking_id("Shop") == 3

    def test_again_copies_what_is_new(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        first, second = history(uuids(3)), history(uuids(3))
        old, new = (
            StoredEvent(each.originator_id, 3, "snapshot", b"")
            for each in (first[0], second[0])
        )
        origin.record("Bank", first)
        origin.snapshot("Bank", [old])
        origin.track("Totals", Tracking("Bank", 2))
        assert copy(origin.env, env, "Bank", ["Totals"]).events == 9
        copied = copy(origin.env, env, "Bank", ["Totals"])
        assert (copied.events, copied.snapshots, copied.verified) == (0, 0, 10)

        origin.record("Bank", second)
        origin.snapshot("Bank", [new])
        origin.track("Others", Tracking("Bank", 12))
        copied = copy(origin.env, env, "Bank", ["Others"])

        assert copied == Copied(9, 1, 18, {"Others": {"Bank": 12}}, verified=20)
        assert recorded(open_factory) == notifications(first + second)

    def test_refuses_where_others_have_recorded(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        events = history(uuids(2))
        origin.record("Bank", events)
        copy(origin.env, env, "Bank")
        own = StoredEvent(uuid4(), 1, "topic", b"")
        assert open_factory("Bank").application_recorder().insert_events([own]) == [7]

        with pytest.raises(ProgrammingError, match="7, is in the target only"):
            copy(origin.env, env, "Bank")
        origin.record("Bank", history(uuids(1)))
        with pytest.raises(ProgrammingError, match="7, differs in originator_id"):
            copy(origin.env, env, "Bank")
        assert recorded(open_factory) == notifications([*events, own])

    def test_keeps_gaps(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        events = history(uuids(4), versions=1)
        origin.record("Bank", events)
        origin.delete(2)
        assert copy(origin.env, env, "Bank").events == 3
        kept = [1, 3, 4]
        expected = notifications([events[each - 1] for each in kept], kept)
        assert recorded(open_factory) == expected

    def test_keeps_a_gap_of_most_positions(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        """As of a sequence that was set high."""
        events = history(uuids(4), versions=1)
        origin.record("Bank", events)
        origin.change(4, origin.position, str(10**12))
        if origin.table == "es_events":
            far = "last_notification_id = 1000000000000"
            origin.execute(f"UPDATE es_applications SET {far}")  # noqa: S608
        assert copy(origin.env, env, "Bank").events == 4
        assert recorded(open_factory) == notifications(events, [1, 2, 3, 10**12])
        assert list(compare(origin.env, env, "Bank")) == []

    def test_gives_no_position_again(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        """A projection that has reached it would pass over the new event."""
        events = history(uuids(3), versions=1)
        origin.record("Bank", events)
        origin.track("Totals", Tracking("Bank", 3))
        origin.delete(3)
        assert copy(origin.env, env, "Bank", ["Totals"]).position == 2
        assert copy(origin.env, env, "Bank").events == 0
        own = history(uuids(1), versions=1)
        assert open_factory("Bank").application_recorder().insert_events(own) == [4]

    def test_no_events(self, origin: Origin, env: Env) -> None:
        origin.record("Bank", [])
        assert copy(origin.env, env, "Bank") == Copied(0, 0, 0, {}, verified=0)

    def test_unknown_projection(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        origin.record("Bank", history(uuids(1)))
        with pytest.raises(UnknownNameError, match="projection 'Nobody'"):
            copy(origin.env, env, "Bank", ["Nobody"])
        assert recorded(open_factory) == []

    def test_names_what_differs(self, origin: Origin, env: Env) -> None:
        origin.record("Bank", history(uuids(3)))
        copy(origin.env, env, "Bank")
        origin.delete(2)
        origin.change(4, "topic", "another")
        origin.change(5, "state", "other")
        with pytest.raises(VerificationError) as failure:
            copy(origin.env, env, "Bank")
        assert [
            (each.position, each.problem) for each in failure.value.discrepancies
        ] == [
            (2, "is in the target only"),
            (4, "differs in topic"),
            (5, "differs in state"),
        ]
        assert failure.value.are_all

    def test_names_missing_versions(self, origin: Origin, env: Env) -> None:
        ids = uuids(2)
        origin.record("Bank", history(ids))
        origin.delete(3)
        with pytest.raises(VerificationError) as failure:
            copy(origin.env, env, "Bank")
        (finding,) = failure.value.discrepancies
        assert finding.position == 5
        assert finding.problem == (
            f"version 3 of aggregate {ids[0]} has no version 2 before it"
        )


@pytest.mark.needs(Capability.NOTIFY)
class TestFromPostgres(TestFromEachModule):
    @pytest.fixture
    def origin(self, postgres: Origin) -> Origin:
        return postgres


def test_the_same_tables_on_both_sides(
    env: Env, open_factory: OpenFactory, backend: Backend, tmp_path: Path
) -> None:
    """However the URLs spell that."""
    open_factory("Bank").application_recorder().insert_events(history(uuids(2)))
    url = make_url(backend.url)
    if Capability.SERVER in backend.capabilities:
        url = url.set(host="localhost")
    else:
        link = tmp_path / "link.db"
        link.symlink_to(str(url.database))
        url = url.set(database=str(link))
    for other in (backend.url, url.render_as_string(hide_password=False)):
        source = {**env, "SQLALCHEMY_URL": other}
        with pytest.raises(ConfigurationError, match="lead to the same tables"):
            copy(source, env, "Bank")
        with pytest.raises(ConfigurationError, match="lead to the same tables"):
            list(compare(source, env, "Bank"))


@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_leaves_a_file_as_it_is(sqlite: Origin, mode: str, env: Env) -> None:
    """A backup, say, or a file on a share, where WAL does not work."""
    copy_and_look(sqlite, mode, env)


@pytest.mark.needs(Capability.FILE_LOCKS)
@pytest.mark.parametrize("mode", ["delete", "wal"])
def test_leaves_a_file_of_this_package_as_it_is(
    ours: Origin, mode: str, env: Env
) -> None:
    copy_and_look(ours, mode, env)


def copy_and_look(origin: Origin, mode: str, env: Env) -> None:
    origin.record("Bank", history(uuids(2)))
    origin.track("Totals", Tracking("Bank", 2))
    origin.execute(f"PRAGMA journal_mode = {mode}")
    file = Path(origin.url.database or "")
    before = file.read_bytes(), sorted(file.parent.glob(f"{file.name}*"))
    copy(origin.env, env, "Bank", ["Totals"])
    assert list(compare(origin.env, env, "Bank")) == []
    assert (file.read_bytes(), sorted(file.parent.glob(f"{file.name}*"))) == before


class TestLastPositionGiven:
    """The event was erased, or its transaction was rolled back."""

    @pytest.fixture
    def origin(self, ours: Origin) -> Origin:
        return ours

    def test_is_not_given_again(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        origin.record("Bank", history(uuids(3), versions=1))
        origin.delete(3)
        assert copy(origin.env, env, "Bank").position == 2
        own = history(uuids(1), versions=1)
        assert open_factory("Bank").application_recorder().insert_events(own) == [4]

    def test_copy_goes_on(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        events = history(uuids(4), versions=1)
        origin.record("Bank", events[:3])
        origin.delete(3)
        copy(origin.env, env, "Bank")
        origin.record("Bank", events[3:])
        assert copy(origin.env, env, "Bank").events == 1
        kept = [1, 2, 4]
        expected = notifications([events[each - 1] for each in kept], kept)
        assert recorded(open_factory) == expected

    def test_copy_again_corrects_the_counter(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        """Of a copy that ended too early, or an older version has made."""
        origin.record("Bank", history(uuids(3), versions=1))
        origin.delete(3)
        copy(origin.env, env, "Bank")
        counter = metadata.tables["es_applications"].c.last_notification_id
        with open_factory("Bank").datastore.transaction() as connection:
            connection.execute(update(counter.table).values({counter: 2}))
        (finding,) = compare(origin.env, env, "Bank")
        assert finding.position == 3
        assert "would give it to another one" in finding.problem
        copy(origin.env, env, "Bank")
        assert list(compare(origin.env, env, "Bank")) == []

    def test_refuses_where_others_have_deleted(
        self, origin: Origin, env: Env, open_factory: OpenFactory
    ) -> None:
        """Somebody may have seen an event at a position that the source gives next."""
        origin.record("Bank", history(uuids(2), versions=1))
        copy(origin.env, env, "Bank")
        factory = open_factory("Bank")
        own = history(uuids(1), versions=1)
        factory.application_recorder().insert_events(own)
        event = metadata.tables["es_events"]
        with factory.datastore.transaction() as connection:
            connection.execute(delete(event).where(event.c.notification_id == 3))
        with pytest.raises(ProgrammingError, match="own, which were deleted"):
            copy(origin.env, env, "Bank")


@pytest.mark.needs(Capability.SERVER)
class TestLastPositionOfThePeer(TestLastPositionGiven):
    """SQLite gives the numbers of rows again."""

    @pytest.fixture
    def origin(self, peer: Origin) -> Origin:
        return peer


@pytest.mark.needs(Capability.NOTIFY)
class TestLastPositionOfPostgres(TestLastPositionGiven):
    @pytest.fixture
    def origin(self, postgres: Origin) -> Origin:
        return postgres
