"""Dead letters, and what can be done about them."""

from collections.abc import Callable
from typing import Any
from urllib.parse import parse_qsl

from anyio.to_thread import run_sync
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response

from eventsourcing_alchemy.errors import text_of
from eventsourcing_alchemy.operations.dead_letters import (
    Place,
    dead_letters_at,
    discard_letter,
    place_of,
    select_dead_letters,
)
from eventsourcing_alchemy.operations.retrying import declaration_of, retry_letter
from eventsourcing_alchemy.runners.dead_letter_rows import DeadLetter
from eventsourcing_alchemy.web.access import is_own_form
from eventsourcing_alchemy.web.site import Site, given, number
from eventsourcing_alchemy.web.templates_in_use import url_of

LONGEST_FORM = 16 * 1024
"""Bytes."""

SHOWN = 100
"""Dead letters on a page."""


def dead_letters(site: Site, request: Request) -> Response:
    """All of them, or those of a projection."""
    name = request.query_params.get("projection") or None
    projections = [
        each for each in site.samples.overview().projections if each.dead_letters
    ]
    after = _after(request)
    letters = select_dead_letters(
        site.datastore, [name] if name else (), after=after, limit=SHOWN + 1
    )
    has_more = len(letters) > SHOWN
    return site.page(
        request,
        "dead_letters.html",
        name=name,
        projections=projections,
        letters=letters[:SHOWN],
        is_first=after is None,
        next=place_of(letters[SHOWN - 1]) if has_more else None,
    )


def _after(request: Request) -> Place | None:
    position = number(request, "after")
    if position is None:
        return None
    return Place(
        given(request, "after_projection"),
        given(request, "after_application"),
        position,
    )


def dead_letter(site: Site, request: Request) -> Response:
    """One of them."""
    return _shown(site, request, _letter(site, request.query_params), None)


async def retry(site: Site, request: Request) -> Response:
    """Processes the event after all."""
    return await _act(site, request, lambda each: retry_letter(each, site.declared))


async def discard(site: Site, request: Request) -> Response:
    """Forgets the dead letter."""
    return await _act(site, request, lambda each: discard_letter(site.datastore, each))


async def _act(
    site: Site, request: Request, act: Callable[[DeadLetter], None]
) -> Response:
    form = await _form(request)
    if not is_own_form(request, form.get("token")):
        return PlainTextResponse("This form was not sent from this page\n", 403)
    return await run_sync(_done, site, request, form, act)


async def _form(request: Request) -> dict[str, str]:
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > LONGEST_FORM:
            raise ValueError("The form is too long")
    return dict(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))


def _done(
    site: Site, request: Request, form: Any, act: Callable[[DeadLetter], None]
) -> Response:
    letter = _letter(site, form)
    try:
        act(letter)
    except Exception as error:  # Whatever a projection raises.
        return _shown(site, request, _again(site, letter), text_of(error))
    site.samples.forget()
    url = url_of(request)
    return RedirectResponse(
        url("/dead-letters", projection=letter.projection_name), 303
    )


def _shown(
    site: Site, request: Request, letter: DeadLetter, problem: str | None
) -> Response:
    return site.page(
        request,
        "dead_letter.html",
        200 if problem is None else 409,
        letter=letter,
        problem=problem,
        can_retry=declaration_of(letter, site.declared) is not None,
        allow_actions=site.allow_actions,
    )


def _letter(site: Site, values: Any) -> DeadLetter:
    names = [str(values.get(name, "")) for name in ("projection", "application")]
    position = str(values.get("position", ""))
    if not position.isdecimal():
        raise ValueError(f"position is {position[:40]!r}: expected a number")
    (letter,) = dead_letters_at(site.datastore, names[0], [int(position)], names[1])
    return letter


def _again(site: Site, letter: DeadLetter) -> DeadLetter:
    """The dead letter as it is after an attempt."""
    found = dead_letters_at(
        site.datastore,
        letter.projection_name,
        [letter.notification_id],
        letter.application_name,
    )
    return found[0]
