"""`run`: projections in a process, until a signal comes."""

import logging
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from enum import StrEnum
from time import sleep
from types import FrameType
from typing import Annotated, Any

import typer

from eventsourcing_alchemy.cli.bounds import finite
from eventsourcing_alchemy.cli.exit_codes import ExitCode
from eventsourcing_alchemy.cli.health_server import serving
from eventsourcing_alchemy.cli.listening import address_of
from eventsourcing_alchemy.cli.probes import Runners, routes_of
from eventsourcing_alchemy.cli.session import session_of
from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.operations.opening import runner_of
from eventsourcing_alchemy.runners.base_runner import BaseRunner

logger = logging.getLogger("eventsourcing_alchemy")

PAUSE = 0.2
"""Seconds between two looks whether to stop."""

FORMAT = "%(asctime)s %(levelname)s %(message)s"


class LogLevel(StrEnum):
    """How much is logged."""

    DEBUG = "DEBUG"
    INFO = "INFO"
    WARNING = "WARNING"
    ERROR = "ERROR"


_SIGNALS = signal.SIGTERM, signal.SIGINT


def run(
    context: typer.Context,
    names: Annotated[list[str], typer.Argument(help="Names of declared projections.")],
    health_port: Annotated[
        int | None,
        typer.Option(
            min=0, max=65535, help="Serve /healthz, /readyz and /metrics on this port."
        ),
    ] = None,
    health_host: Annotated[
        str,
        typer.Option(
            help="Address to listen on; 0.0.0.0 if probes come from other machines."
        ),
    ] = "127.0.0.1",
    max_lag: Annotated[
        float,
        typer.Option(
            min=0,
            callback=finite,
            help="/readyz answers 200 up to this lag, in seconds.",
        ),
    ] = 30.0,
    log_level: Annotated[
        LogLevel, typer.Option(help="Level of the log on standard error.")
    ] = LogLevel.INFO,
) -> None:
    """Run projections until SIGTERM or SIGINT.

    The command waits out database outages. The exit code is 0 after a signal. An error
    that needs a person stops all projections, with exit code 1.
    """
    declared = session_of(context).declared(names)
    logging.basicConfig(level=log_level.value, format=FORMAT)
    runners: dict[str, BaseRunner[Any]] = {}
    with _noted_signals() as noted:
        try:
            for each in declared:
                runners[each.name] = runner_of(each)
                runners[each.name].__enter__()
            with _served(runners, health_host, health_port, max_lag):
                while not noted and not _has_one_ended(runners):
                    sleep(PAUSE)
        finally:
            failed = _stop(runners)
    if failed:
        raise typer.Exit(ExitCode.FOUND)


def _has_one_ended(runners: Runners) -> bool:
    return any(each.is_interrupted.is_set() for each in runners.values())


def _stop(runners: Runners) -> list[str]:
    """Stops all, and then waits for each; returns the names of those that failed."""
    for each in runners.values():
        each.stop()
    return [name for name, each in runners.items() if not _has_ended_well(name, each)]


def _has_ended_well(name: str, runner: BaseRunner[Any]) -> bool:
    try:
        runner.__exit__(None, None, None)
    except (Exception, SystemExit) as error:  # Whatever its code has raised.
        logger.error("Projection %r has failed: %s", name, text_of(error))  # noqa: TRY400
        return False
    return True


@contextmanager
def _served(
    runners: Runners, host: str, port: int | None, max_lag: float
) -> Iterator[None]:
    if port is None:
        yield
        return
    with (
        routes_of(runners, max_lag) as routes,
        serving(host, port, routes) as actual_port,
    ):
        address = address_of(host, actual_port)
        logger.info("Serving %s at %s", ", ".join(routes), address)
        yield


@contextmanager
def _noted_signals() -> Iterator[list[int]]:
    """The signals that have come; a second one ends the process as it always does."""
    noted: list[int] = []

    def note(number: int, _: FrameType | None) -> None:
        # Nothing else: a lock may be held by the code that it interrupts.
        noted.append(number)
        signal.signal(number, before[signal.Signals(number)])

    before = {each: signal.getsignal(each) for each in _SIGNALS}
    for each in _SIGNALS:
        signal.signal(each, note)
    try:
        yield noted
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
