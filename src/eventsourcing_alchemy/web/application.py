"""The ASGI application: which address leads to which page."""

import logging
from asyncio import CancelledError, Task, create_task, sleep, to_thread
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from pathlib import Path

from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles

from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.host import DataError, PersistenceError, ProgrammingError
from eventsourcing_alchemy.operations.reading import UnknownNameError
from eventsourcing_alchemy.web import actions, event_pages, live, overview_pages
from eventsourcing_alchemy.web.access import Authenticate, Guard
from eventsourcing_alchemy.web.site import Site

logger = logging.getLogger("eventsourcing_alchemy")

STATIC = Path(__file__).parent / "static"


def application(
    site: Site, hosts: Sequence[str], authenticate: Authenticate | None
) -> Starlette:
    """The application.

    Args:
        site: what its pages have in common.
        hosts: names by which it may be asked for.
        authenticate: of the user's own.
    """

    def route(path: str, page: Callable[..., object], method: str = "GET") -> Route:
        return Route(path, partial(page, site), methods=[method])

    routes = [
        route("/", overview_pages.overview),
        route("/projection", overview_pages.projection),
        route("/metrics", overview_pages.metrics),
        route("/events", event_pages.events),
        route("/event", event_pages.event),
        route("/aggregate", event_pages.aggregate),
        route("/live", live.events),
        route("/dead-letters", actions.dead_letters),
        route("/dead-letter", actions.dead_letter),
        Mount("/static", StaticFiles(directory=STATIC)),
    ]
    if site.allow_actions:
        routes += [
            route("/dead-letter/retry", actions.retry, "POST"),
            route("/dead-letter/discard", actions.discard, "POST"),
        ]
    app = Starlette(
        routes=routes,
        middleware=[Middleware(Guard, hosts=hosts, authenticate=authenticate)],
        exception_handlers={
            UnknownNameError: _told(site, 404, "Not found"),
            DataError: _told(site, 400, "This cannot be"),
            ValueError: _told(site, 400, "This cannot be"),
            ProgrammingError: _told(site, 409, "This cannot be done"),
            PersistenceError: _told(site, 503, "The database cannot be read"),
            404: _told(site, 404, "Not found"),
        },
        lifespan=partial(_sampling, site),
    )
    # Whoever serves it may set this, so that streams end, which would not otherwise.
    app.state.is_ending = False
    return app


def _told(
    site: Site, status: int, title: str
) -> Callable[[Request, Exception], Response]:
    def told(request: Request, error: Exception) -> Response:
        text = str(error) if isinstance(error, PersistenceError) else text_of(error)
        return site.page(request, "error.html", status, title=title, text=text)

    return told


@asynccontextmanager
async def _sampling(site: Site, _: Starlette) -> AsyncIterator[None]:
    """Looks at projections also while nobody asks; not where it is mounted."""
    task: Task[None] = create_task(_sample(site))
    try:
        yield
    finally:
        task.cancel()
        with suppress(CancelledError):
            await task


async def _sample(site: Site) -> None:
    while True:
        with suppress(PersistenceError):  # The page tells of it.
            await to_thread(site.samples.overview)
        await sleep(site.samples.interval)
