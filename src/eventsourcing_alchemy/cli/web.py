"""`web`: the page, for a browser."""

from ipaddress import ip_address
from socket import socket
from typing import Annotated

import typer

from eventsourcing_alchemy.cli.bounds import LONGEST, finite
from eventsourcing_alchemy.cli.listening import address_of, listener_at
from eventsourcing_alchemy.cli.output import Output
from eventsourcing_alchemy.cli.session import session_of
from eventsourcing_alchemy.errors import missing_extra
from eventsourcing_alchemy.web import INTERVAL, LOOPBACK, create_app


def web(
    context: typer.Context,
    host: Annotated[
        str,
        typer.Option(
            help="Address to listen on. The default serves this machine only."
        ),
    ] = "127.0.0.1",
    port: Annotated[
        int,
        typer.Option(min=0, max=65_535, help="Port to listen on; 0 for a free one."),
    ] = 8080,
    allow_actions: Annotated[
        bool,
        typer.Option(
            "--allow-actions", help="Allow retrying and discarding dead letters."
        ),
    ] = False,
    allowed_host: Annotated[
        list[str] | None,
        typer.Option(
            help="Host name that browsers may use, besides localhost. Repeatable."
        ),
    ] = None,
    interval: Annotated[
        float,
        typer.Option(
            min=1,
            max=LONGEST,
            callback=finite,
            help="Seconds between two measurements of projections.",
        ),
    ] = INTERVAL,
) -> None:
    """Serve the web page until interrupted."""
    try:
        from eventsourcing_alchemy.cli.web_server import serve
    except ModuleNotFoundError as error:
        raise missing_extra("web", error) from None
    session = session_of(context)
    output = session.output()
    with (
        session.datastore() as datastore,
        listener_at(host, port, "--port") as listener,
    ):
        app = create_app(
            datastore,
            allow_actions=allow_actions,
            hosts=[*LOOPBACK, *(allowed_host or [])],
            config=next((each.file for each in session.declared()), None),
            interval=interval,
        )
        _tell_address(output, host, listener)
        serve(app, listener)


def _tell_address(output: Output, host: str, listener: socket) -> None:
    bound_to, port = listener.getsockname()[:2]
    address = address_of(host, port)
    if not ip_address(bound_to).is_loopback:
        output.tell(
            f"Warning: anyone who can reach {address} can read all events. "
            "Put a proxy that asks for a password in front of it"
        )
    output.say(f"http://{address}")
