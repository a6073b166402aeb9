"""The commands, registered, and what they have in common."""

import sys
from pathlib import Path
from typing import Annotated, Any

import typer
from sqlalchemy.exc import SQLAlchemyError
from typer.core import TyperGroup

from eventsourcing_alchemy.cli import dead_letters, schema
from eventsourcing_alchemy.cli.copy import copy
from eventsourcing_alchemy.cli.doctor import doctor
from eventsourcing_alchemy.cli.events import aggregate, events
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.rebuild import rebuild_command, reset_command
from eventsourcing_alchemy.cli.run import run
from eventsourcing_alchemy.cli.session import AsJson, Session, load_env_file
from eventsourcing_alchemy.cli.status import status
from eventsourcing_alchemy.cli.topics import topics
from eventsourcing_alchemy.cli.verify import verify
from eventsourcing_alchemy.cli.web import web
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import (
    DataError,
    IntegrityError,
    NotSupportedError,
    PersistenceError,
    ProgrammingError,
)
from eventsourcing_alchemy.operations.reading import (
    MissingTablesError,
    UnknownNameError,
)
from eventsourcing_alchemy.operations.rebuild.exclusion import ViewBusyError

_WRONG_USE = ConfigurationError, DataError, NotSupportedError, UnknownNameError

_REFUSALS = IntegrityError, ProgrammingError, ViewBusyError


def _exit_code(error: Exception) -> ExitCode:
    if isinstance(error, _WRONG_USE):
        return ExitCode.WRONG_USE
    is_of_database = isinstance(error.__cause__, SQLAlchemyError) and not isinstance(
        error, IntegrityError
    )
    if is_of_database or isinstance(error, MissingTablesError):
        return ExitCode.UNREACHABLE
    is_refused = isinstance(error, _REFUSALS)
    return ExitCode.REFUSED if is_refused else ExitCode.UNREACHABLE


class Commands(TyperGroup):
    """Makes exit codes of errors."""

    def invoke(self, ctx: Any) -> Any:
        """Invokes a command."""
        try:
            return super().invoke(ctx)
        except (ConfigurationError, PersistenceError) as error:
            code, message = _exit_code(error), str(error)
        Output(as_json=False).tell(f"Error: {message}")
        raise typer.Exit(code)


app = typer.Typer(
    name="eventsourcing-alchemy",
    cls=Commands,
    no_args_is_help=True,
    # They would show the values of variables, passwords among them.
    pretty_exceptions_enable=False,
    context_settings={
        "auto_envvar_prefix": "EVENTSOURCING_ALCHEMY",
        "help_option_names": ["-h", "--help"],
    },
)

for each in (status, events, aggregate, topics, run, copy, verify, doctor, web):
    app.command()(each)
for name, group in (("dead-letters", dead_letters.app), ("schema", schema.app)):
    app.add_typer(group, name=name)
app.command("rebuild")(rebuild_command)
app.command("reset")(reset_command)


@app.callback()
def options(
    context: typer.Context,
    env_file: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="Read variables from this file. Variables of the environment win.",
        ),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            exists=True,
            dir_okay=False,
            help="TOML file that declares the projections. Default: pyproject.toml.",
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Operate applications and projections of the eventsourcing library."""
    if (here := str(Path.cwd())) not in sys.path:
        # As `python -m` has it: there the classes are that topics lead to.
        sys.path.insert(0, here)
    if env_file is not None:
        load_env_file(env_file)
    context.obj = Session(config=config, as_json=as_json)
