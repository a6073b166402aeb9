"""`schema`: the tables, which Alembic makes; no alembic.ini is needed."""

import sys

import typer

from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import ProgrammingError
from eventsourcing_alchemy.operations.schema import (
    SchemaStatus,
    schema_differences,
    schema_status,
    upgrade_schema,
)
from eventsourcing_alchemy.schema.migrate import script

app = typer.Typer(no_args_is_help=True, help="Create, upgrade and check the tables.")


@app.command()
def current(context: typer.Context, as_json: AsJson = False) -> None:
    """Show the revision of the tables. The exit code is 1 if an upgrade is due."""
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore() as datastore:
        status = schema_status(datastore)
    if output.as_json:
        output.document("schema current", is_current=status.is_current, schema=status)
    output.say(_sentence(status))
    if not status.is_current:
        raise typer.Exit(ExitCode.FOUND)


def _sentence(status: SchemaStatus) -> str:
    if status.is_current and status.problem is not None:
        return f"All tables exist, but the revision cannot be read: {status.problem}"
    if status.is_current:
        return f"The schema is at {status.revision}, which is current."
    return f"{status}."


@app.command()
def upgrade(context: typer.Context, as_json: AsJson = False) -> None:
    """Create missing tables, and upgrade existing ones to this version."""
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore(creates=True) as datastore:
        done = upgrade_schema(datastore)
    before, after = done.before, done.after
    if output.as_json:
        output.document("schema upgrade", before=before, after=after)
    elif before.is_current:
        output.say(f"The schema was at {after.revision}: nothing to upgrade.")
    elif before.revision != after.revision:
        output.say(
            f"Upgraded the schema from {before.revision or 'nothing'} to "
            f"{after.revision}."
        )
        for each in before.missing:
            if each not in after.missing:
                output.say(f"Created {each}.")
    if not after.is_current:
        output.tell(_sentence(after))
        raise typer.Exit(ExitCode.FOUND)


@app.command()
def check(context: typer.Context, as_json: AsJson = False) -> None:
    """Compare the tables with this version. The exit code is 1 if they differ.

    This compares columns, types, defaults, keys, indexes, collations, and how the
    database keeps the tables. The command schema sql prints them as they have to be.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore() as datastore:
        found = schema_differences(datastore)
    if output.as_json:
        output.document("schema check", differences=found)
    for each in found or ["The tables match this version."]:
        output.say(each)
    if found:
        raise typer.Exit(ExitCode.FOUND)


@app.command()
def sql() -> None:
    """Print the SQL that creates the tables, without connecting to a database."""
    try:
        sys.stdout.write(script())
    except ProgrammingError as error:
        # It depends on nothing but variables.
        raise ConfigurationError(str(error)) from error
