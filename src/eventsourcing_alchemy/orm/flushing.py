"""What a session writes at the end of an event, at once or together with others."""

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

from sqlalchemy.orm import Session
from sqlalchemy.orm.attributes import instance_state

from eventsourcing_alchemy.orm.mapped_tables import Key, MappedTable, Values
from eventsourcing_alchemy.orm.written_rows import WrittenRows
from eventsourcing_alchemy.upserts.plans import Plan


class Write(NamedTuple):
    """A row to write.

    Attributes:
        instance: the object.
        table: of the row.
        values: None where only the database knows them.
    """

    instance: Any
    table: MappedTable
    values: Values | None

    @property
    def key(self) -> Key:
        """That of an identity map."""
        state = instance_state(self.instance)
        return state.key or state.mapper.identity_key_from_instance(self.instance)

    @property
    def order(self) -> Any:
        """Among others that are updated."""
        return self.table.table.fullname, self.table.order(self.instance)


class Flush:
    """What a session writes.

    Args:
        rows: are known in the batch.
        inserts: of new objects.
        updates: of changed ones.
    """

    def __init__(
        self, rows: WrittenRows, inserts: list[Write], updates: list[Write]
    ) -> None:
        self._rows = rows
        self._inserts = inserts
        self._updates = updates

    @classmethod
    def of(cls, session: Session, rows: WrittenRows) -> "Flush | None":
        """That of a session, None if it is more than rows of tables that are known."""
        if session.deleted:
            return None
        inserts, updates = [], []
        for instance, table in _tables(session.new, rows):
            if table is None:
                return None
            inserts.append(Write(instance, table, table.insertion(instance)))
        for instance, table in _tables(session.dirty, rows):
            if table is None or (change := table.change(instance)) is None:
                return None
            if change:
                updates.append(Write(instance, table, change))
        return cls(rows, inserts, updates)

    def wait(self) -> bool:
        """Has all of it wait for others of its kind; False if it cannot.

        Nobody else can see the rows before the transaction ends, or change them.
        """
        if not self.can_wait():
            return False
        # As the unit of work does: a row may refer to another of its table.
        updates = sorted(self._updates, key=lambda each: each.order)
        statements = {
            **{each.key: _update(each) for each in updates},
            **{each.key: _insert(each) for each in self._inserts},
        }
        if not self._rows.collect(statements):
            return False
        self._remember()
        return True

    @property
    def new(self) -> list[object]:
        """The new objects."""
        return [each.instance for each in self._inserts]

    def can_wait(self) -> bool:
        """Whether nobody can tell if it is done now or later."""
        tables = {each.table.table for each in (*self._inserts, *self._updates)}
        return (
            all(each.values is not None for each in self._inserts)
            and all(self._rows.has_written(each.key) for each in self._updates)
            # The order of tables is up to the unit of work.
            and (len(tables) < 2 or not any(each.foreign_keys for each in tables))
        )

    def execute(self, flush: Callable[[], None]) -> None:
        """Has the session execute it now."""
        if not self._inserts and not self._updates:
            flush()
            return
        with self._rows.writing():
            flush()
        self._remember()

    def _remember(self) -> None:
        for each in self._inserts:
            values = {**vars(each.instance), **(each.values or {})}
            self._rows.remember(each.key, each.table.exact(values))
        for each in self._updates:
            # What else the object has may be older than the row.
            before = self._rows.read_or_written(each.key)
            values = {**(before or {}), **(each.values or {})}
            self._rows.remember(each.key, each.table.exact(values))


def _tables(
    instances: Iterable[object], rows: WrittenRows
) -> Iterable[tuple[object, MappedTable | None]]:
    for instance in instances:
        yield instance, rows.table_of(instance_state(instance).mapper)


def _insert(write: Write) -> tuple[Plan, Any]:
    values = write.values or {}
    plan = write.table.insert(tuple(values))
    return plan, plan.bound(values.values())


def _update(write: Write) -> tuple[Plan, Any]:
    values = write.values or {}
    plan = write.table.update(tuple(values))
    return plan, plan.bound((*values.values(), *write.key[1]))
