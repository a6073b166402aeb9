"""What is looked for before anything begins, and again before it is in the way."""

from sqlalchemy import Connection

from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.operations.rebuild.new_view import NewView
from eventsourcing_alchemy.operations.rebuild.shared_tables import (
    refuse_database_views,
    refuse_other_applications,
    refuse_shared_tables,
)
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewInUse
from eventsourcing_alchemy.schema import tables


def check(in_use: ViewInUse, new: NewView, *, is_begun: bool) -> None:
    """Makes sure that the view can be replaced, and nothing else is lost with it.

    Args:
        in_use: the view in use.
        new: the new one.
        is_begun: whether its tables are there already.

    Raises:
        ProgrammingError: names what is in the way, and the remedy.
    """
    _check_database(in_use)
    _check_positions(in_use)
    with in_use.recorder.reading() as connection:
        refuse_database_views(connection, in_use)
        check_again(connection, in_use, new)
        _check_rights(connection, in_use, new)
        if not is_begun:
            _check_names(connection, new)


def check_again(connection: Connection, in_use: ViewInUse, new: NewView) -> None:
    """Makes sure that nothing would be lost that may have come meanwhile.

    Args:
        connection: where to look.
        in_use: the view in use.
        new: the new one.

    Raises:
        ProgrammingError: as `check()`.
    """
    refuse_shared_tables(connection, in_use)
    refuse_other_applications(connection, in_use, "rebuild")
    _check_dependents(connection, new)


def refuse_unwritten(in_use: ViewInUse, new: NewView) -> None:
    """Makes sure that the projection writes to each table that has rows.

    A table that it never writes to may be somebody else's.

    Args:
        in_use: the view in use.
        new: the new one, which is built.

    Raises:
        ProgrammingError: names the tables, and the remedy.
    """
    found = new.empty_but_used(in_use.recorder.datastore)
    if found:
        msg = (
            f"The rebuild wrote nothing to {', '.join(found)}, but they have rows: "
            "declare tables that do not belong to the view in another MetaData (or "
            "delete obsolete rows), and rebuild again"
        )
        raise ProgrammingError(msg)


def _check_database(in_use: ViewInUse) -> None:
    store = in_use.recorder.datastore
    backend = store.engine.url.get_backend_name()
    if store.dialect.is_private(store.engine.url):
        msg = (
            "The database is in memory, so no other process uses the view: there is "
            "nothing to rebuild"
        )
        raise ProgrammingError(msg)
    if not store.dialect.switches_tables:
        msg = (
            f"rebuild() cannot replace tables on {backend}: stop the runners, and "
            "call reset()"
        )
        raise ProgrammingError(msg)


def _check_positions(in_use: ViewInUse) -> None:
    position, last = in_use.position, in_use.last_position
    if position is None:
        msg = (
            f"There is nothing to rebuild yet: {in_use} has no position. Run the "
            "projection first"
        )
        raise ProgrammingError(msg)
    if position > last:
        msg = (
            f"{in_use} is at position {position}, beyond the last event, which is at "
            f"{last} (perhaps an older backup was restored): stop its runners, and "
            "call reset()"
        )
        raise ProgrammingError(msg)


def _check_names(connection: Connection, new: NewView) -> None:
    has_table = connection.dialect.has_table
    taken = [
        name
        for each in new.tables
        for name in (each.new, each.old)
        if has_table(connection, name, each.schema)
    ]
    if taken:
        msg = (
            f"The rebuild needs the names of the tables {', '.join(taken)}: rename "
            "them, or drop them if an earlier rebuild kept them"
        )
        raise ProgrammingError(msg)


def _check_rights(connection: Connection, in_use: ViewInUse, new: NewView) -> None:
    store = in_use.recorder.datastore
    ours = [
        (store.schema, each.name)
        for each in (tables.tracking, tables.dead_letters, tables.rebuilds)
    ]
    missing = store.dialect.missing_rights(connection, new.replaced, ours)
    if missing:
        msg = (
            f"This database role lacks {', '.join(missing)}: rebuild as the role that "
            "owns the tables"
        )
        raise ProgrammingError(msg)


def _check_dependents(connection: Connection, new: NewView) -> None:
    found = new.datastore.dialect.dependents(connection, new.replaced)
    if found:
        msg = (
            "The rebuild would lose what depends on the old tables: "
            f"{', '.join(found)}. Drop them, rebuild, and create them again"
        )
        raise ProgrammingError(msg)
