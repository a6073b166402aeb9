"""Stored events."""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response

from eventsourcing_alchemy.operations.aggregate_states import with_changes
from eventsourcing_alchemy.operations.events import (
    aggregate_history,
    event_at,
    following,
    newest,
)
from eventsourcing_alchemy.operations.overview import ApplicationStatus
from eventsourcing_alchemy.web.site import Site, given, number
from eventsourcing_alchemy.web.templates_in_use import url_of

SHOWN = 50
"""Events on a page."""

SHOWN_OF_AGGREGATE = 500


def events(site: Site, request: Request) -> Response:
    """The events of an application, newest first."""
    found = site.samples.overview().applications
    names = [each.name for each in found]
    query = request.query_params
    application = query.get("application") or _of_last_event(found)
    if application is None:
        return site.page(request, "no_events.html")
    if aggregate_id := query.get("aggregate"):
        url = url_of(request)
        address = url("/aggregate", application=application, id=aggregate_id)
        return RedirectResponse(address, 303)
    topic = query.get("topic") or None
    before, after = number(request, "before"), number(request, "after")
    options: Any = {"topic": topic, "limit": SHOWN}
    if after is not None:
        page = following(site.datastore, application, after=after, **options)
    else:
        page = newest(site.datastore, application, before=before, **options)
    return site.page(
        request,
        "events.html",
        names=names,
        application=application,
        topic=topic,
        events=page.events[::-1],
        found=page,
    )


def _of_last_event(found: Sequence[ApplicationStatus]) -> str | None:
    never = datetime.min.replace(tzinfo=UTC)
    ordered = sorted(found, key=lambda each: each.recorded_at or never)
    return ordered[-1].name if ordered else None


def event(site: Site, request: Request) -> Response:
    """One event, with its state."""
    application, position = given(request, "application"), number(request, "position")
    found = event_at(site.datastore, application, position or 0)
    return site.page(request, "event.html", application=application, each=found)


def aggregate(site: Site, request: Request) -> Response:
    """The history of an aggregate, with what each event has changed."""
    application, aggregate_id = given(request, "application"), given(request, "id")
    history = aggregate_history(
        site.datastore, application, aggregate_id, limit=SHOWN_OF_AGGREGATE
    )
    return site.page(
        request,
        "aggregate.html",
        application=application,
        aggregate_id=aggregate_id,
        steps=with_changes(history.events)[::-1],
        snapshots=history.snapshots[::-1],
        most=SHOWN_OF_AGGREGATE,
    )
