"""How events are processed into the new tables."""

from __future__ import annotations

from contextlib import suppress
from typing import Any

import pytest
from eventsourcing.persistence import Tracking
from sqlalchemy import Engine, event, insert, select, text

from backends import Capability
from behaviour.workers import DeliberateError
from eventsourcing_alchemy.runners import batching
from eventsourcing_alchemy.schema.tables import tracking as positions
from rebuilding.in_use import InUse
from rebuilding.shop import Orders

pytestmark = [pytest.mark.needs(Capability.SHARED)]


def test_records_a_position_for_each_batch(
    in_use: InUse, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Not for each event, though the view reads in between."""
    monkeypatch.setattr(batching, "LONGEST_BATCH", 60.0)
    said: list[str] = []

    def hear(*arguments: Any) -> None:
        said.append(arguments[2])

    for _ in range(10):
        in_use.shop.order("Bea", lines=9)
    in_use.catch_up()
    before = in_use.content()
    event.listen(Engine, "before_cursor_execute", hear)
    try:
        in_use.rebuild()
    finally:
        event.remove(Engine, "before_cursor_execute", hear)
    assert in_use.content() == before
    recorded = [each for each in said if each.startswith("UPDATE es_tracking")]
    assert 1 < len(recorded) < 20
    assert sum("order_lines__new" in each for each in said) >= len(before) == 105


@pytest.mark.parametrize("how", ["by a query", "by SQL as text", "by the recorder"])
def test_view_that_reads_its_position(in_use: InUse, how: str) -> None:
    """It finds that of the event which it is processing."""
    seen: list[int | None] = []

    class Reading(Orders):
        def add_line(self, event: Any, tracking: Tracking) -> None:
            with self.transaction() as connection:
                super().add_line(event, tracking)
                options = self.datastore.options
                if how == "by the recorder":
                    found = self.max_tracking_id("Shop")
                elif how == "by a query":
                    query = select(positions.c.notification_id)
                    query = query.where(positions.c.projection_name == self.name)
                    found = connection.scalar(query, execution_options=options)
                else:
                    sql = "SELECT notification_id FROM es_tracking WHERE "
                    mine = text(f"{sql} projection_name = '{self.name}'")
                    found = connection.scalar(mine)
                seen.append(found)

    before = in_use.content()
    in_use.rebuild(view_class=Reading)
    assert in_use.content() == before
    assert seen == in_use.lines()


def test_view_that_undoes_a_part(in_use: InUse) -> None:
    """Whatever is rolled back with it is processed, and tracked, again."""

    class Undoing(Orders):
        def add_line(self, event: Any, tracking: Tracking) -> None:
            with self.transaction() as connection:
                with suppress(DeliberateError), connection.begin_nested():
                    super().add_line(event, tracking)
                    connection.execute(insert(self.totals).values(customer="", lines=1))
                    raise DeliberateError
                super().add_line(event, tracking)

    before = in_use.content()
    in_use.rebuild(view_class=Undoing)
    assert in_use.content() == before
