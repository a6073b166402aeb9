"""`topics`: what kinds of events are stored, and whether this code knows them."""

from dataclasses import asdict

import typer

from eventsourcing_alchemy.cli.events import Application
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.operations.topics import problem_of, topic_counts

COLUMNS = ("topic", "events", "first", "last", "resolves")


def topics(
    context: typer.Context, application: Application, as_json: AsJson = False
) -> None:
    """Count the events of each topic, and try to import its class.

    The exit code is 1 if a class cannot be imported.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(application) as datastore:
        counts = topic_counts(datastore, application)
    rows = [asdict(each) | {"problem": problem_of(each.topic)} for each in counts]
    if output.as_json:
        output.document("topics", application=application, topics=rows)
    else:
        shown = ({**row, "problem": row["problem"] or "yes"}.values() for row in rows)
        output.table(COLUMNS, map(list, shown), empty="No events.")
    if any(row["problem"] for row in rows):
        raise typer.Exit(ExitCode.FOUND)
