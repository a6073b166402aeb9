"""`events` and `aggregate`: what is stored."""

import json
from collections.abc import Iterable
from dataclasses import replace
from threading import Event
from typing import Annotated

import typer

from eventsourcing_alchemy.cli.bounds import MOST
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.operations.events import (
    Page,
    aggregate_history,
    follow,
    following,
    newest,
)
from eventsourcing_alchemy.operations.stored_records import StoredRecord, StoredState
from eventsourcing_alchemy.schema.validation import HIGHEST

COLUMNS = ("position", "recorded at", "aggregate", "version", "topic", "state")

Application = Annotated[str, typer.Argument(help="Name of the application.")]
Limit = Annotated[
    int, typer.Option(min=1, max=MOST, help="Show at most this many events.")
]


def events(
    context: typer.Context,
    application: Application,
    after: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=HIGHEST,
            help="Show events after this position. Default: the newest ones.",
        ),
    ] = None,
    topic: Annotated[
        str | None, typer.Option(help="Only events of this topic.")
    ] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="Only events of the aggregate with this ID.")
    ] = None,
    limit: Limit = 20,
    follow: Annotated[
        bool, typer.Option("--follow", "-f", help="Keep showing new events.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """Show stored events, the newest last, with states that are plain JSON.

    With --follow and --json, print one document a line for each event.
    """
    if aggregate is not None and (follow or topic is not None):
        raise typer.BadParameter(
            "--aggregate cannot be combined with --follow or --topic"
        )
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(application) as datastore:
        if aggregate is not None:
            history = aggregate_history(
                datastore, application, aggregate, after=after or 0, limit=limit
            )
            _show(output, application, history.events)
            return
        page = _page(datastore, application, after, topic, limit)
        if follow:
            _follow(output, datastore, application, page, topic)
        else:
            _show(output, application, page.events, page.last_position)


def aggregate(
    context: typer.Context,
    application: Application,
    aggregate_id: Annotated[str, typer.Argument(help="ID of the aggregate.")],
    limit: Limit = 1000,
    as_json: AsJson = False,
) -> None:
    """Show the events and snapshots of an aggregate."""
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(application) as datastore:
        history = aggregate_history(datastore, application, aggregate_id, limit=limit)
    if output.as_json:
        output.document(
            "aggregate",
            application=application,
            events=history.events,
            snapshots=history.snapshots,
        )
        return
    output.table(COLUMNS, map(_row, history.events), empty="No events.")
    output.say()
    columns = ("version", "recorded at", "snapshot", "state")
    snapshots = (
        (each.version, each.recorded_at, each.topic, shown_state(each.state))
        for each in history.snapshots
    )
    output.table(columns, snapshots, empty="No snapshots.")


def _page(
    datastore: SQLAlchemyDatastore,
    application: str,
    after: int | None,
    topic: str | None,
    limit: int,
) -> Page:
    """Events up to the limit, also where those of a topic are far apart."""
    if after is None:
        page = newest(datastore, application, topic=topic, limit=limit)
        while page.older is not None and (left := limit - len(page.events)):
            more = newest(
                datastore, application, before=page.older, topic=topic, limit=left
            )
            page = replace(page, events=[*more.events, *page.events], low=more.low)
        return page
    page = following(datastore, application, after=after, topic=topic, limit=limit)
    while page.newer is not None and (left := limit - len(page.events)):
        more = following(
            datastore, application, after=page.newer, topic=topic, limit=left
        )
        page = replace(page, events=[*page.events, *more.events], high=more.high)
    return page


def _show(
    output: Output,
    application: str,
    events: Iterable[StoredRecord],
    last_position: int | None = None,
) -> None:
    if output.as_json:
        output.document(
            "events",
            application=application,
            events=list(events),
            last_position=last_position,
        )
    else:
        output.table(COLUMNS, map(_row, events), empty="No such events.")


def _follow(
    output: Output,
    datastore: SQLAlchemyDatastore,
    application: str,
    page: Page,
    topic: str | None,
) -> None:
    """Until the user has enough, which is no error."""
    try:
        for each in page.events:
            _print(output, each)
        coming = follow(
            datastore, application, after=page.high, topic=topic, stopping=Event()
        )
        for each in coming:
            _print(output, each)
    except KeyboardInterrupt:
        pass


def _print(output: Output, each: StoredRecord) -> None:
    if output.as_json:
        output.line("events", event=each)
    else:
        cells = ["" if value is None else value for value in _row(each)]
        output.say(*cells)


def _row(each: StoredRecord) -> tuple[object, ...]:
    whose = ", ".join(each.tags) if each.aggregate_id is None else each.aggregate_id
    return (
        each.position,
        each.recorded_at,
        whose,
        each.version,
        each.topic,
        shown_state(each.state),
    )


def shown_state(state: StoredState) -> str:
    """A state in one line."""
    if state.reason is not None:
        return f"{state.size:,} bytes, {state.reason}"
    return json.dumps(state.value, ensure_ascii=False)
