"""New events, as they come, by server-sent events."""

import json
from asyncio import sleep, to_thread
from collections.abc import AsyncIterator

from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from eventsourcing_alchemy.host import PersistenceError
from eventsourcing_alchemy.operations.events import (
    FOLLOW_PAUSE,
    Page,
    following,
    newest,
)
from eventsourcing_alchemy.web.event_pages import SHOWN
from eventsourcing_alchemy.web.site import Site, given, number
from eventsourcing_alchemy.web.templates_in_use import templates, url_of

ALIVE = 15.0
"""Seconds after which something is sent, so that nothing between gives up."""


def events(site: Site, request: Request) -> Response:
    """A stream of rows of the table of events."""
    application = given(request, "application")
    topic = request.query_params.get("topic") or None
    after = request.headers.get("last-event-id") or number(request, "after") or 0
    # Now, so that a wrong name is an answer, and not a stream that ends.
    newest(site.datastore, application, limit=1)
    stream = _stream(site, request, application, topic, int(after))
    return StreamingResponse(
        stream, media_type="text/event-stream", headers={"X-Accel-Buffering": "no"}
    )


async def _stream(
    site: Site, request: Request, application: str, topic: str | None, after: int
) -> AsyncIterator[str]:
    yield "retry: 2000\n\n"
    quiet = 0.0
    while not (request.app.state.is_ending or await request.is_disconnected()):
        try:
            page = await to_thread(
                following,
                site.datastore,
                application,
                after=after,
                topic=topic,
                limit=SHOWN,
            )
        except PersistenceError:
            return  # The browser asks again.
        after, quiet = page.high, quiet + FOLLOW_PAUSE
        if page.events:
            yield _message(request, application, page)
            quiet = 0.0
        elif quiet >= ALIVE:
            yield ": nothing new\n\n"
            quiet = 0.0
        if page.newer is None:
            await sleep(FOLLOW_PAUSE)


def _message(request: Request, application: str, page: Page) -> str:
    rows = templates.get_template("event_rows.html").render(
        url=url_of(request), application=application, events=page.events[::-1]
    )
    data = json.dumps({"rows": rows, "last": page.last_position})
    return f"id: {page.high}\ndata: {data}\n\n"
