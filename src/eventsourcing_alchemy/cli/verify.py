"""`verify`: whether what is recorded is as it has to be."""

import os
from collections.abc import Iterator
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Annotated

import typer

from eventsourcing_alchemy.cli.bounds import MOST
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.progress import shown_progress
from eventsourcing_alchemy.cli.session import AsJson, session_of, settings_in
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.operations.discrepancies import Discrepancy
from eventsourcing_alchemy.operations.transfer.copy import compare
from eventsourcing_alchemy.operations.verify import verify as verify_records


def verify(
    context: typer.Context,
    application: Annotated[
        str | None, typer.Argument(help="Name of an application. Default: all.")
    ] = None,
    source: Annotated[
        Path | None,
        typer.Option(
            "--from",
            exists=True,
            dir_okay=False,
            help="Compare with the source of a copy: file with its settings.",
        ),
    ] = None,
    allow_gaps: Annotated[
        bool,
        typer.Option(
            "--allow-gaps",
            help="Accept missing positions: of erased events, or a source with gaps.",
        ),
    ] = False,
    limit: Annotated[
        int, typer.Option(min=1, max=MOST, help="Show at most this many discrepancies.")
    ] = 100,
    as_json: AsJson = False,
) -> None:
    """Look for inconsistent records. This changes nothing.

    The exit code is 1 if something is wrong.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    with ExitStack() as stack:
        found: Iterator[Discrepancy]
        if source is None:
            datastore = stack.enter_context(session.datastore(application or ""))
            found = verify_records(datastore, application, allow_gaps=allow_gaps)
        elif application is None:
            raise ConfigurationError(
                "--from: pass the name of the application to compare"
            )
        else:
            progress = stack.enter_context(shown_progress(output))
            found = compare(
                settings_in(source), os.environ, application, progress=progress
            )
        named = list(islice(found, limit + 1))
    are_all = len(named) <= limit
    if output.as_json:
        output.document("verify", discrepancies=named[:limit], are_all=are_all)
    else:
        for each in named[:limit]:
            output.say(each)
        if not are_all:
            output.say("There are more.")
        if not named:
            output.say("Nothing is wrong.")
    if named:
        raise typer.Exit(ExitCode.FOUND)
