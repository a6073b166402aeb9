"""`doctor`: what to look after."""

from collections.abc import Sequence

import typer
from rich.text import Text

from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output, literal
from eventsourcing_alchemy.cli.session import AsJson, session_of
from eventsourcing_alchemy.dialects.base.diagnosis import Finding, Level
from eventsourcing_alchemy.operations.doctor import examine, is_reachable

_STYLES = {Level.OK: "green", Level.WARNING: "yellow", Level.ERROR: "bold red"}


def doctor(context: typer.Context, as_json: AsJson = False) -> None:
    """Examine the database and its surroundings. This changes nothing.

    The exit code is 1 if there is a warning or an error, and 3 if the database cannot
    be reached.
    """
    session = session_of(context)
    output = session.output(as_json=as_json)
    with session.datastore() as datastore:
        findings = examine(datastore)
    if output.as_json:
        output.document("doctor", findings=findings)
    else:
        _show(output, findings)
    if not is_reachable(findings):
        raise typer.Exit(ExitCode.UNREACHABLE)
    if any(each.level is not Level.OK for each in findings):
        raise typer.Exit(ExitCode.FOUND)


def _show(output: Output, findings: Sequence[Finding]) -> None:
    for each in findings:
        level = literal(f"{each.level:<8}", _STYLES[each.level])
        line = Text.assemble(level, literal(f"{each.check}: {each.text}"))
        output.console.print(line, soft_wrap=not output.console.is_terminal)
        if each.remedy is not None:
            output.console.print(literal(f"        {each.remedy}"), soft_wrap=True)
