"""What the global options say, for all commands."""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated

import typer
from dotenv import dotenv_values

from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import ConfigurationError
from eventsourcing_alchemy.host import Environment
from eventsourcing_alchemy.operations.declarations import Declaration, declarations
from eventsourcing_alchemy.settings import Settings

AsJson = Annotated[
    bool,
    typer.Option(
        "--json",
        envvar="EVENTSOURCING_ALCHEMY_JSON",
        help="Print one JSON document instead of tables.",
    ),
]

PATIENCE = "1"
"""Seconds in which to try again, where a person waits."""


@dataclass
class Session:
    """What the global options say.

    Attributes:
        config: the file that declares projections; None for pyproject.toml, if there is
            one.
        as_json: whether `--json` was given before the command.
    """

    config: Path | None
    as_json: bool

    def output(self, *, as_json: bool = False) -> Output:
        """Where to print.

        Args:
            as_json: whether `--json` was given after the command.
        """
        return Output(as_json=as_json or self.as_json)

    def declared(self, names: Sequence[str] = ()) -> list[Declaration]:
        """Projections that are declared.

        Args:
            names: of the projections; none for all.

        Raises:
            ConfigurationError: if the file cannot be used, or does not declare them.
        """
        file = self.config or _pyproject()
        known = declarations(file) if file is not None else {}
        for name in names:
            if name not in known:
                there = ", ".join(map(repr, known)) or "none"
                where = file or "no pyproject.toml from here upwards"
                msg = f"{name!r} is not declared: {where} declares {there}"
                raise ConfigurationError(msg)
        return [known[name] for name in names or known]

    @contextmanager
    def datastore(
        self, name: str = "", *, creates: bool = False
    ) -> Iterator[SQLAlchemyDatastore]:
        """The database.

        Args:
            name: of an application or projection, whose own variables count.
            creates: whether it may be a file that is not there yet.

        Raises:
            ConfigurationError: if a variable has a value that cannot be used, or the
                database is a file that is not there.
        """
        datastore = SQLAlchemyDatastore(_settings(name))
        try:
            missing = datastore.dialect.missing_file(datastore.engine.url)
            if missing is not None and not creates:
                msg = f"SQLALCHEMY_URL: there is no database {str(missing)!r}"
                raise ConfigurationError(msg)
            yield datastore
        finally:
            datastore.close()

    @contextmanager
    def datastores(
        self, names: Sequence[str]
    ) -> Iterator[Sequence[tuple[SQLAlchemyDatastore, Sequence[str]]]]:
        """The databases of several projections, each once.

        Args:
            names: of the projections, whose own variables count; none for the database
                that everything uses without variables of its own.

        Yields:
            Each database, with the names of those that use it.

        Raises:
            ConfigurationError: as `datastore()`.
        """
        found: list[tuple[Settings, list[str]]] = []
        for name in names:
            settings = _settings(name)
            sharing = [users for other, users in found if other == settings]
            if sharing:
                sharing[0].append(name)
            else:
                found.append((settings, [name]))
        with ExitStack() as stack:
            yield [
                (stack.enter_context(self.datastore(users[0])), users)
                for _, users in found
            ] or [(stack.enter_context(self.datastore()), [])]


def _settings(name: str) -> Settings:
    environment = {"SQLALCHEMY_RETRY_TIMEOUT": PATIENCE, **os.environ}
    return Settings.from_env(Environment(name, environment))


def _pyproject() -> Path | None:
    here = Path.cwd()
    files = (folder / "pyproject.toml" for folder in (here, *here.parents))
    return next((file for file in files if file.is_file()), None)


def session_of(context: typer.Context) -> Session:
    """What the global options of a command say."""
    session = context.find_object(Session)
    assert session is not None  # noqa: S101 (the callback of the application sets it)
    return session


def load_env_file(path: Path) -> None:
    """Adds the variables of a file to those of the process, which win.

    Args:
        path: lines of NAME=value, as in Docker's and systemd's files.
    """
    for name, value in settings_in(path).items():
        os.environ.setdefault(name, value)


def settings_in(path: Path) -> Mapping[str, str]:
    """The variables of a file, alone.

    Raises:
        ConfigurationError: if the file cannot be read.
    """
    try:
        values = dotenv_values(path, interpolate=False)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"{path} cannot be read: {error}") from error
    return {name: value or "" for name, value in values.items()}
