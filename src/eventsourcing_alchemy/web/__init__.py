"""The web page: what is stored, and how projections are doing."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore
from eventsourcing_alchemy.errors import missing_extra
from eventsourcing_alchemy.operations.declarations import declarations

if TYPE_CHECKING:
    from starlette.applications import Starlette

    from eventsourcing_alchemy.web.access import Authenticate

LOOPBACK = ("localhost", "127.0.0.1", "[::1]")
"""Names by which a browser on the same machine may ask."""

INTERVAL = 5.0
"""Seconds between two looks at how far projections are."""


def create_app(
    datastore: SQLAlchemyDatastore,
    *,
    allow_actions: bool = False,
    hosts: Sequence[str] = LOOPBACK,
    authenticate: "Authenticate | None" = None,
    config: Path | str | None = None,
    interval: float = INTERVAL,
) -> "Starlette":
    """Returns the web page as an ASGI application, to serve or to mount.

    It shows everything that is stored. Mount it where only operators can reach it, or
    pass `authenticate`.

    Args:
        datastore: the database. Close it yourself, after the application.
        allow_actions: whether the page can retry and discard dead letters. Otherwise,
            it changes nothing.
        hosts: host names, without port, that browsers may use; `*` for any. The page
            refuses other names, which protects it from DNS rebinding.
        authenticate: called with each request. Return True to go on, False to refuse,
            or a response, such as a redirect to a login.
        config: the file that declares projections, such as pyproject.toml. The page can
            retry their dead letters, and imports their applications.
        interval: the minimum number of seconds between two measurements of the
            projections.

    Raises:
        ConfigurationError: if the extra `web` is not installed, or the file cannot be
            used.
    """
    declared = () if config is None else tuple(declarations(Path(config)).values())
    try:
        from eventsourcing_alchemy.web.application import application
        from eventsourcing_alchemy.web.site import Site
    except ModuleNotFoundError as error:
        raise missing_extra("web", error) from None
    site = Site(datastore, declared, interval, allow_actions=allow_actions)
    return application(site, hosts, authenticate)


__all__ = ["create_app"]
