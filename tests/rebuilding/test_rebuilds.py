"""Rebuilding a view, while it is in use."""

from __future__ import annotations

import types
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import nullcontext
from threading import Event
from typing import Any, ClassVar

import pytest
from eventsourcing.persistence import (
    DataError,
    OperationalError,
    ProgrammingError,
    Tracking,
)
from eventsourcing.projection import EventSourcedProjection, Projection
from sqlalchemy import (
    Column,
    Integer,
    MetaData,
    delete,
    insert,
    inspect,
    select,
    text,
    update,
)

from backends import Backend, Capability
from eventsourcing_alchemy import (
    Lease,
    PoisonPolicy,
    RebuildPhase,
    RebuildProgress,
    SQLAlchemyMaterialisedView,
)
from eventsourcing_alchemy.dialects.mysql.table_switch import MySQLTableSwitch
from eventsourcing_alchemy.operations.rebuild import exclusion
from eventsourcing_alchemy.operations.rebuild.switching import Switching
from eventsourcing_alchemy.schema.tables import (
    dead_letters,
    leases,
    rebuilds,
    tracking,
)
from faults.waiting import wait_until
from rebuilding.in_use import InUse, connected, differences, names
from rebuilding.shop import Orders, Shop, positions
from triggers_of_tables import after_each_row

pytestmark = [pytest.mark.needs(Capability.SHARED)]


def test_everything_is_as_it_was(in_use: InUse, backend: Backend) -> None:
    told: list[RebuildProgress] = []
    before = in_use.content()
    with connected(backend) as connection:
        names_before = names(connection)
    in_use.rebuild(progress=told.append)
    assert in_use.content() == before
    assert len(before) == 15
    with connected(backend) as connection:
        assert names(connection) == names_before
        assert differences(connection) == []
        for table in (rebuilds, dead_letters):
            assert connection.execute(select(table)).all() == []
        assert set(connection.scalars(select(leases.c.projection_name))) <= {"orders"}
        assert connection.execute(select(tracking)).all() == [("orders", "Shop", 20)]
    assert told[0].phase is RebuildPhase.BUILDING
    assert told[-1] == RebuildProgress(RebuildPhase.SWITCHED, 20, 20)


def test_what_the_code_does_now_is_what_is_there_then(in_use: InUse) -> None:
    """Whatever was in the old tables."""
    before = in_use.content()
    with in_use.view() as view, view.transaction() as connection:
        connection.execute(delete(Orders.lines))
        connection.execute(insert(Orders.totals).values(customer="Eve", lines=7))
    assert in_use.content() == []
    in_use.rebuild()
    assert in_use.content() == before


def test_readers_writers_and_runners_go_on(in_use: InUse) -> None:
    """Each reader sees all that was written before, and each event once."""
    with in_use.busy() as busy:
        for _ in range(3):
            in_use.rebuild()
    in_use.catch_up()
    lines = [position for *_, position in in_use.content()]
    assert not busy.problems
    assert lines == in_use.lines()
    assert busy.reads > 0


@pytest.mark.needs(Capability.NOTIFY)
def test_report_of_one_moment(in_use: InUse, backend: Backend) -> None:
    """As the guide says: it has the table locked before it looks at anything."""
    waiting = text(
        "SELECT count(*) FROM pg_locks JOIN pg_database AS d ON d.oid = database "
        "WHERE NOT granted AND datname = current_database()"
    )
    before = in_use.content()
    with (
        connected(backend) as report,
        connected(backend) as other,
        ThreadPoolExecutor(1) as threads,
    ):
        report.execution_options(isolation_level="REPEATABLE READ")
        report.execute(text("LOCK TABLE order_lines IN ACCESS SHARE MODE"))
        rebuilding = threads.submit(in_use.rebuild)
        wait_until(lambda: other.scalar(waiting), "the switch waits")
        count = text("SELECT count(*) FROM order_lines")
        assert report.scalar(count) == len(before)
        report.rollback()
        rebuilding.result(30)
    assert in_use.content() == before


def test_old_tables_can_be_kept(in_use: InUse, backend: Backend) -> None:
    before = in_use.content()
    in_use.rebuild(keep_old=True)
    with connected(backend) as connection:
        assert differences(connection) == []
        kept = connection.scalar(text("SELECT count(*) FROM order_lines__old"))
    assert kept == len(before)
    with pytest.raises(ProgrammingError, match=r"tables orders__old, .* drop them"):
        in_use.rebuild()
    assert in_use.content() == before


def test_new_columns_are_there(in_use: InUse) -> None:
    """The new release's metadata is built; the old one goes on until the switch."""

    class NewRelease(Orders):
        metadata: ClassVar[MetaData] = MetaData()
        orders = Orders.orders.to_metadata(metadata)
        lines = Orders.lines.to_metadata(metadata)
        totals = Orders.totals.to_metadata(metadata)

    added = Column("added", Integer, nullable=False, server_default="0")
    NewRelease.totals.append_column(added)
    with in_use.running() as runner:
        in_use.rebuild(view_class=NewRelease)
        runner.wait(in_use.shop.order("Bea"), timeout=10)
    with in_use.view(NewRelease) as view, view.reading() as connection:
        assert connection.execute(select(NewRelease.totals)).all() == [
            ("Ada", 15, 0),
            ("Bea", 1, 0),
        ]


class TestInterrupted:
    @pytest.mark.parametrize("restart", [False, True])
    def test_goes_on(
        self,
        in_use: InUse,
        monkeypatch: pytest.MonkeyPatch,
        caplog: pytest.LogCaptureFixture,
        restart: bool,
    ) -> None:
        before = in_use.content()
        processed: list[int] = []
        add, is_mended = Orders.add, Event()

        def add_or_fail(view: Orders, event: Any, tracking: Tracking) -> None:
            processed.append(tracking.notification_id)
            if tracking.notification_id > 12 and not is_mended.is_set():
                raise ZeroDivisionError
            add(view, event, tracking)

        monkeypatch.setattr(Orders, "add", add_or_fail)
        with pytest.raises(ZeroDivisionError):
            in_use.rebuild()
        assert in_use.content() == before
        is_mended.set()
        processed.clear()
        in_use.rebuild(restart=restart)
        assert in_use.content() == before
        assert processed[0] == (1 if restart else 13)
        # It may have been built by other code until there.
        assert ("after position 12" in caplog.text) is not restart

    def test_not_with_other_tables(self, in_use: InUse, backend: Backend) -> None:
        class NewRelease(Orders):
            metadata: ClassVar[MetaData] = MetaData()
            totals = Orders.totals.to_metadata(metadata)

        before = in_use.content()
        with pytest.raises(ZeroDivisionError):
            in_use.rebuild(progress=lambda _: 1 // 0)
        with pytest.raises(ProgrammingError, match="restart=True"):
            in_use.rebuild(view_class=NewRelease)
        in_use.rebuild()
        assert in_use.content() == before
        with connected(backend) as connection:
            assert differences(connection) == []


@pytest.mark.parametrize("is_in_switch", [False, True])
def test_what_was_built_is_dropped_by_hand(
    in_use: InUse,
    backend: Backend,
    monkeypatch: pytest.MonkeyPatch,
    is_in_switch: bool,
) -> None:
    """After the rebuild was killed: it is not taken for what is in use."""

    def kill(*_: object, **__: object) -> None:
        raise ZeroDivisionError

    def kill_before(progress: RebuildProgress) -> None:
        if progress.phase is RebuildPhase.SWITCHING:
            kill()

    before = in_use.content()
    with monkeypatch.context() as patch:
        if is_in_switch:
            patch.setattr(Switching, "_switch", kill)
        with pytest.raises(ZeroDivisionError):
            in_use.rebuild(progress=None if is_in_switch else kill_before)
    with connected(backend) as connection:
        for table in reversed(Orders.metadata.sorted_tables):
            connection.execute(text(f"DROP TABLE {table.name}__new"))
        connection.execute(update(Orders.lines).values(amount=99))
        connection.commit()
    in_use.rebuild()
    assert in_use.content() == before


def test_two_at_once(
    in_use: InUse, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(exclusion, "LEASE_DURATION", 0.5)
    before = in_use.content()

    def again(progress: RebuildProgress) -> None:
        if progress.phase is RebuildPhase.SWITCHING:
            refused = r":\d+:\w+ is already rebuilding"
            with pytest.raises(OperationalError, match=refused):
                in_use.rebuild()

    in_use.rebuild(progress=again)
    assert in_use.content() == before
    assert "waiting 1 s, in case it was killed" in caplog.text


def test_dead_letters_of_the_new_build_stay(
    in_use: InUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    is_broken = {6, 7}
    add_line = Orders.add_line

    def add_or_fail(view: Orders, event: Any, tracking: Tracking) -> None:
        if tracking.notification_id in is_broken:
            raise ZeroDivisionError
        add_line(view, event, tracking)

    monkeypatch.setattr(Orders, "add_line", add_or_fail)
    policy = PoisonPolicy(dead_letter=True)
    in_use.rebuild(poison=policy)
    assert in_use.dead_letters() == [6, 7]
    is_broken.clear()
    is_broken.add(3)
    in_use.rebuild(poison=policy)
    assert in_use.dead_letters() == [3]
    assert len(in_use.content()) == 14


@pytest.mark.parametrize("error", [ZeroDivisionError, DataError])
@pytest.mark.parametrize("dead_letter", [False, True])
def test_event_that_fails_is_recorded_meanwhile(
    in_use: InUse,
    monkeypatch: pytest.MonkeyPatch,
    error: type[Exception],
    dead_letter: bool,
) -> None:
    """It is among the last ones, which are processed in the switch."""
    add_line, broken = Orders.add_line, set[int]()
    before = len(in_use.content())

    def add_or_fail(view: Orders, event: Any, tracking: Tracking) -> None:
        if tracking.notification_id in broken:
            raise error
        add_line(view, event, tracking)

    def record(progress: RebuildProgress) -> None:
        if progress.phase is RebuildPhase.SWITCHING and not broken:
            broken.add(in_use.shop.order("Bea"))
            last = in_use.shop.order("Bea")
            with in_use.running(poison=PoisonPolicy(dead_letter=True)) as runner:
                runner.wait(last, timeout=10)

    monkeypatch.setattr(Orders, "add_line", add_or_fail)
    policy = PoisonPolicy(dead_letter=dead_letter)
    with nullcontext() if dead_letter else pytest.raises(error):
        in_use.rebuild(poison=policy, progress=record)
    assert in_use.dead_letters() == sorted(broken)
    assert len(in_use.content()) == before + 1


@pytest.mark.needs(Capability.IMPLICIT_COMMIT)
def test_dead_letter_that_is_retried_during_the_switch(
    in_use: InUse, backend: Backend, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its event is in the new tables already, to which the retry would write."""
    add_line, rebuilds = Orders.add_line, list[Future[None]]()

    def fail(*_: Any) -> None:
        raise ZeroDivisionError

    def add_after_the_switch(view: Orders, event: Any, tracking: Tracking) -> None:
        if view.name != "orders":
            add_line(view, event, tracking)
            return
        if not rebuilds:
            rebuilds.append(threads.submit(in_use.rebuild))
            wait_until(is_switched, "it did not switch")
        with view.processing(tracking) as connection:
            lines = view.totals.c.lines
            connection.execute(update(view.totals).values({lines: lines + 1}))

    def is_switched() -> bool:
        with connected(backend) as connection:
            return len(positions(connection)) == 16

    monkeypatch.setattr(Orders, "add_line", fail)
    policy = PoisonPolicy(attempts=1, dead_letter=True)
    with in_use.running(poison=policy) as runner, ThreadPoolExecutor(1) as threads:
        runner.wait(in_use.shop.order("Bea"), timeout=10)
        (letter,) = runner.dead_letters.select()
        monkeypatch.setattr(Orders, "add_line", add_after_the_switch)
        with pytest.raises(ProgrammingError, match="Somebody else has"):
            runner.dead_letters.retry(letter, runner.app, runner.projection)
        rebuilds[0].result()
        assert runner.view.number_of_lines() == 16
    assert in_use.dead_letters() == []


KEY = "CONSTRAINT fk_notes FOREIGN KEY (order_id) REFERENCES orders (id)"


class TestRefused:
    @pytest.mark.parametrize(
        ("create", "drop", "found"),
        [
            (
                "VIEW report AS SELECT id FROM orders",
                "VIEW report",
                r"view (\w+\.)?report",
            ),
            (f"TABLE notes (order_id INTEGER, {KEY})", "TABLE notes", "notes"),
        ],
    )
    def test_what_hangs_on_the_tables(
        self, in_use: InUse, backend: Backend, create: str, drop: str, found: str
    ) -> None:
        with connected(backend) as connection:
            connection.execute(text(f"CREATE {create}"))
            connection.commit()
        with pytest.raises(ProgrammingError, match=rf"old tables.*{found}"):
            in_use.rebuild()
        with connected(backend) as connection:
            assert inspect(connection).has_table("orders__new") is False
            connection.execute(text(f"DROP {drop}"))
            connection.commit()
        in_use.rebuild()

    def test_triggers(self, in_use: InUse, backend: Backend) -> None:
        with connected(backend) as connection:
            after_each_row(connection, "orders", "DELETE FROM shop_totals WHERE 1 = 0")
            connection.commit()
        with pytest.raises(ProgrammingError, match="trigger"):
            in_use.rebuild()

    @pytest.mark.parametrize("what", ["trigger", "foreign key", "other application"])
    @pytest.mark.parametrize("is_interrupted", [False, True])
    def test_what_has_come_since_it_began(
        self, in_use: InUse, backend: Backend, what: str, is_interrupted: bool
    ) -> None:
        def come() -> None:
            with connected(backend) as connection:
                if what == "trigger":
                    statement = "DELETE FROM shop_totals WHERE 1 = 0"
                    after_each_row(connection, "orders", statement)
                elif what == "foreign key":
                    create = f"CREATE TABLE notes (order_id INTEGER, {KEY})"
                    connection.execute(text(create))
                else:
                    row = "orders", "Another", 1
                    connection.execute(insert(tracking).values(row))
                connection.commit()

        def interrupt(progress: RebuildProgress) -> None:
            if progress.phase is RebuildPhase.SWITCHING:
                come()
                if is_interrupted:
                    raise ZeroDivisionError

        before = in_use.content()
        refused = pytest.raises(ProgrammingError, match=r"trigger|notes|'Another'")
        with pytest.raises(ZeroDivisionError) if is_interrupted else refused:
            in_use.rebuild(progress=interrupt)
        with refused:
            in_use.rebuild()
        assert in_use.content() == before
        with connected(backend) as connection:
            if what == "foreign key":
                connection.execute(text("INSERT INTO notes VALUES (1)"))
                connection.execute(text("DROP TABLE notes"))
            elif what == "other application":
                is_other = tracking.c.application_name == "Another"
                connection.execute(delete(tracking).where(is_other))
            connection.commit()
        if what != "trigger":
            in_use.rebuild()
        assert in_use.content() == before

    @pytest.mark.needs(Capability.IMPLICIT_COMMIT)
    def test_foreign_keys_that_the_role_does_not_see(
        self, in_use: InUse, backend: Backend, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Of a database on which it has no rights: the old tables stay for them."""
        before = in_use.content()
        with connected(backend) as connection:
            connection.execute(text(f"CREATE TABLE notes (order_id INTEGER, {KEY})"))
        monkeypatch.setattr(MySQLTableSwitch, "dependents", lambda *_: ())
        for _ in range(2):
            with pytest.raises(ProgrammingError, match="in use, but the old ones"):
                in_use.rebuild()
        with connected(backend) as connection:
            connection.execute(text("INSERT INTO notes VALUES (1)"))
            connection.execute(text("DROP TABLE notes"))
        in_use.rebuild()
        with connected(backend) as connection:
            assert inspect(connection).has_table("orders__old") is False
        assert in_use.content() == before

    @pytest.mark.parametrize("of", ["another view", "the same view", "nobody knows"])
    def test_tables_of_two_projections(
        self, in_use: InUse, backend: Backend, of: str
    ) -> None:
        """If both have processed events here."""

        class Other(SQLAlchemyMaterialisedView):
            metadata = Orders.metadata

        view = {"another view": Other, "the same view": Orders}.get(of, Any)
        others = types.new_class("Others", (Projection[view],))  # type: ignore[valid-type]
        try:
            in_use.rebuild()  # It may be used in another database.
            with connected(backend) as connection:
                connection.execute(insert(tracking).values(("Others", "Shop", 3)))
                connection.commit()
            for refused in (in_use.rebuild, in_use.reset):
                with pytest.raises(
                    ProgrammingError, match=r"'Others' has .* has the tables order_l"
                ):
                    refused()
        finally:
            Other.metadata = MetaData()
            others.name = "no longer used"  # type: ignore[attr-defined]

    def test_projections_beside_it(self, in_use: InUse, backend: Backend) -> None:
        """Whatever other views there are, if these have not processed events here."""

        class Elsewhere(SQLAlchemyMaterialisedView):
            metadata = Orders.metadata

        class Beside(SQLAlchemyMaterialisedView):
            metadata = MetaData()

        class ElsewhereProjection(Projection[Elsewhere]):
            pass

        class BesideProjection(Projection[Beside]):
            pass

        try:
            with connected(backend) as connection:
                row = BesideProjection.name, "Shop", 3
                connection.execute(insert(tracking).values(row))
                connection.commit()
            in_use.rebuild()
        finally:
            ElsewhereProjection.name = "no longer used"
            Elsewhere.metadata = MetaData()

    def test_tables_that_are_not_written_to(
        self, in_use: InUse, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        before = in_use.content()
        monkeypatch.setattr(
            Orders, "add_line", lambda view, _, at: view.insert_tracking(at)
        )
        with pytest.raises(ProgrammingError, match="nothing to shop_totals, order"):
            in_use.rebuild()
        monkeypatch.undo()
        in_use.rebuild(restart=True)
        assert in_use.content() == before

    @pytest.mark.parametrize(
        "careless",
        [
            "UPDATE orders SET customer = 'Eve'",
            "TRUNCATE orders",
            "TRUNCATE TABLE orders",
            "DELETE FROM ONLY orders",
            "WITH o AS (SELECT 1) DELETE FROM orders",
        ],
    )
    def test_text_sql(self, in_use: InUse, careless: str) -> None:
        class Careless(Orders):
            def add(self, event: Any, tracking: Tracking) -> None:
                super().add(event, tracking)
                with self.transaction() as connection:
                    connection.execute(text(careless))

        class Careful(Orders):
            def add(self, event: Any, tracking: Tracking) -> None:
                name = self.table_name(self.orders)
                with self.processing(tracking) as connection:
                    row = {"originator": str(event.originator_id)}
                    sql = f"INSERT INTO {name} (customer, originator) "
                    values = f"VALUES ('{event.customer}', :originator)"
                    connection.execute(text(sql + values), row)

        before = in_use.content()
        with pytest.raises(
            ProgrammingError, match=r"table name 'orders'.*table_name\(|use DELETE"
        ):
            in_use.rebuild(view_class=Careless)
        assert in_use.content() == before
        in_use.rebuild(view_class=Careful)
        assert in_use.content() == before

    def test_positions(self, env: dict[str, str], shop: Shop, backend: Backend) -> None:
        in_use = InUse(env, shop)
        with pytest.raises(ProgrammingError, match="nothing to rebuild yet"):
            in_use.rebuild()
        shop.order("Ada")
        in_use.catch_up()
        with connected(backend) as connection:
            connection.execute(insert(tracking).values(("orders", "Market", 3)))
            connection.commit()
        for function in (in_use.rebuild, in_use.reset):
            with pytest.raises(ProgrammingError, match="also follows 'Market'"):
                function()
        assert in_use.content()
        with connected(backend) as connection:
            connection.execute(tracking.update().values(notification_id=100))
            connection.commit()
        with pytest.raises(ProgrammingError, match=r"beyond the last event.*reset\(\)"):
            in_use.rebuild()

    def test_event_sourced_projections(self, in_use: InUse) -> None:
        class Summaries(EventSourcedProjection[Any]):
            name = "summaries"

        for function in (in_use.rebuild, in_use.reset):
            with pytest.raises(ProgrammingError, match="keeps its state in events"):
                function(projection_class=Summaries)


class TestReset:
    def test_empties_the_view(self, in_use: InUse, backend: Backend) -> None:
        before = in_use.content()
        with connected(backend) as connection:
            row = {"topic": "t", "error": "e", "attempts": 1, "notification_id": 2}
            key = {"projection_name": "orders", "application_name": "Shop"}
            connection.execute(insert(dead_letters).values(row | key))
            connection.commit()
        in_use.reset()
        with connected(backend) as connection:
            for table in (*Orders.metadata.sorted_tables, tracking, dead_letters):
                assert connection.execute(select(table)).all() == []
        in_use.catch_up()
        assert in_use.content() == before

    def test_refuses_while_a_copy_works(self, in_use: InUse) -> None:
        with in_use.view() as view:
            lease = Lease(view.datastore, "orders", "Shop", holder="another copy")
            assert lease.acquire()
            with pytest.raises(OperationalError, match="another copy holds the lease"):
                in_use.reset()
            lease.release()

    def test_refuses_during_a_rebuild(self, in_use: InUse) -> None:
        with pytest.raises(ZeroDivisionError):
            in_use.rebuild(progress=lambda _: 1 // 0)
        with pytest.raises(ProgrammingError, match=r"rebuild of .* has begun"):
            in_use.reset()
