"""Tables that are not the view's alone."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, MetaData, inspect, select
from sqlalchemy.engine.reflection import ObjectKind

from eventsourcing_alchemy.host import (
    EventSourcedProjection,
    ProgrammingError,
    Projection,
)
from eventsourcing_alchemy.operations.projected_views import subclasses, view_of
from eventsourcing_alchemy.operations.rebuild.new_view import is_name_while_built
from eventsourcing_alchemy.operations.rebuild.other_schemas import (
    positions_elsewhere,
    tables_for_all,
)
from eventsourcing_alchemy.operations.rebuild.view_in_use import ViewClass, ViewInUse
from eventsourcing_alchemy.recorders.base import SQLAlchemyRecorder
from eventsourcing_alchemy.schema import tables
from eventsourcing_alchemy.schema.namespaces import default_schema

Names = set[tuple[str | None, str]]
Known = dict[str, set[Any]]
Suspect = tuple[str, type[SQLAlchemyRecorder]]


def refuse_shared_tables(connection: Connection, in_use: ViewInUse) -> None:
    """Makes sure that nobody else has any of the tables.

    A projection that has a position in the same database and schema may have written
    to them, if the process knows a view for it with tables of these names. Where a
    position is of a projection that the process does not know, any other view of the
    process may be its.

    Where the view declares a schema for its tables, so may one that has a position in
    another schema: if it is of the same name, or the process knows such a view for it.

    Args:
        connection: where to look.
        in_use: the view in use.

    Raises:
        ProgrammingError: names the tables, and what else has them.
    """
    schema = in_use.recorder.datastore.schema or default_schema(connection)
    names = _names(in_use.view_class.metadata, schema)
    if ours := names & _names(tables.metadata, schema):
        msg = (
            f"{in_use.view_class.__name__}.metadata has tables of this package "
            f"({_listed(ours)}): declare the view's own in another MetaData"
        )
        raise ProgrammingError(msg)
    here, known = other_projections(connection, in_use), known_projections()
    suspects = _suspects(in_use.view_class, here, known)
    _refuse_views(names, suspects, schema, "this database")
    _refuse_other_schemas(connection, in_use, schema, known)


def refuse_database_views(connection: Connection, in_use: ViewInUse) -> None:
    """Makes sure that the tables are tables, not database views of others.

    Args:
        connection: where to look.
        in_use: the view in use.

    Raises:
        ProgrammingError: names those that are database views.
    """
    metadata, store = in_use.view_class.metadata, in_use.recorder.datastore
    by_schema: dict[str | None, list[str]] = {}
    for table in () if metadata is None else metadata.tables.values():
        by_schema.setdefault(store.schema_of(table), []).append(table.name)
    inspector = inspect(connection)
    found = [
        name
        for schema, names in by_schema.items()
        for _, name in inspector.get_multi_columns(
            schema, filter_names=names, kind=ObjectKind.ANY_VIEW
        )
    ]
    if found:
        msg = (
            f"{in_use.view_class.__name__}.metadata has database views "
            f"({', '.join(sorted(found))}), whose rows are those of other tables: "
            "declare them in another MetaData"
        )
        raise ProgrammingError(msg)


def _refuse_other_schemas(
    connection: Connection, in_use: ViewInUse, schema: str | None, known: Known
) -> None:
    """The same of projections that have a position in another schema."""
    found, store = tables_for_all(connection, in_use), in_use.recorder.datastore
    if not found:
        return
    names = {(store.schema_of(table) or schema, table.name) for table in found}
    for there, projections in positions_elsewhere(connection, in_use):
        if in_use.recorder.name in projections:
            msg = (
                f"Projection {in_use.recorder.name!r} has processed events in the "
                f"schema {there!r}, too, and would lose its rows of the tables "
                f"{_listed(names)}: declare them in no schema, so that each schema "
                "has its own, or delete that position if it is of no use any more"
            )
            raise ProgrammingError(msg)
        # The unknown ones may be of whatever else is on the server.
        others = [name for name in projections if name in known]
        suspects = _suspects(in_use.view_class, others, known)
        _refuse_views(names, suspects, there, f"the schema {there!r}")


def _refuse_views(
    names: Names, suspects: Iterable[Suspect], schema: str | None, place: str
) -> None:
    """Makes sure that no view of other projections, which are in use, has a table."""
    for name, view in suspects:
        shared = names & _names(view.metadata, schema)
        if shared:
            msg = (
                f"Projection {name!r} has processed events in {place}, and "
                f"{view.__module__}.{view.__qualname__} has the tables "
                f"{_listed(shared)} too, and would lose them: give each view a "
                "MetaData of its own, with other names of tables"
            )
            raise ProgrammingError(msg)


def refuse_other_applications(
    connection: Connection, in_use: ViewInUse, doing: str
) -> None:
    """Makes sure that the view shows the events of one application.

    Args:
        connection: where to look.
        in_use: the view in use.
        doing: what would lose the events of others, for people.

    Raises:
        ProgrammingError: names the other applications.
    """
    columns = tables.tracking.c
    query = select(columns.application_name).where(
        columns.projection_name == in_use.recorder.name,
        columns.application_name != in_use.application.name,
    )
    options = in_use.recorder.datastore.options
    others = connection.scalars(query, execution_options=options).all()
    if others:
        msg = (
            f"{in_use} also follows {', '.join(map(repr, others))}, whose events a "
            f"{doing} would lose: use a view of its own for each application"
        )
        raise ProgrammingError(msg)


def other_projections(connection: Connection, in_use: ViewInUse) -> Sequence[str]:
    """Names of the others that have a position in the same database and schema.

    Args:
        connection: where to look.
        in_use: the view in use.
    """
    column = tables.tracking.c.projection_name
    query = select(column).distinct().where(column != in_use.recorder.name)
    options = in_use.recorder.datastore.options
    found = sorted(connection.scalars(query, execution_options=options))
    return [name for name in found if not is_name_while_built(name)]


def known_projections() -> Known:
    """The views, if any, of each projection of the process, by its name."""
    found: Known = {}
    for projection in subclasses(Projection):
        views = found.setdefault(projection.name, set())
        view = view_of(projection)
        if view is not None and issubclass(view, SQLAlchemyRecorder):
            views.add(view)
    for application in subclasses(EventSourcedProjection):
        found.setdefault(application.name, set())
    return found


def _suspects(
    view_class: ViewClass, here: Collection[str], known: Known
) -> Iterator[Suspect]:
    """Views that may be used here, with the name of a projection."""
    placed = {view for views in known.values() for view in views}
    for name in here:
        views = known.get(name, set())
        yield from ((name, view) for view in views)
        # Or it is a variant that the runner was told to use, or declared.
        bases = views or {SQLAlchemyRecorder}
        for view in (found for base in bases for found in subclasses(base)):
            if view not in placed and not _is_same_view(view, view_class):
                yield name, view


def _is_same_view(one: type[Any], other: type[Any]) -> bool:
    """Whether one is a variant of the other, or of another import of its module."""
    one, other = _declarer(one), _declarer(other)
    names = {(each.__module__, each.__qualname__) for each in (one, other)}
    return len(names) == 1 or issubclass(one, other) or issubclass(other, one)


def _declarer(view_class: type[SQLAlchemyRecorder]) -> type[Any]:
    """The class by which a view has got its tables."""
    return next(each for each in view_class.__mro__ if "metadata" in vars(each))


def _names(metadata: MetaData | None, schema: str | None) -> Names:
    found = () if metadata is None else metadata.tables.values()
    return {(table.schema or schema, table.name) for table in found}


def _listed(names: Names) -> str:
    return ", ".join(sorted(name for _, name in names))
