"""Who may ask, for what, and what a browser may do with the answer."""

from collections.abc import Awaitable, Callable, Sequence
from hmac import compare_digest
from inspect import isawaitable
from secrets import token_urlsafe

from starlette.datastructures import MutableHeaders
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

Authenticate = Callable[[Request], "bool | Response | Awaitable[bool | Response]"]

COOKIE = "eventsourcing_alchemy_form"
"""Holds the token that forms must repeat, and pages of others cannot read."""

_HEADERS = {
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        "connect-src 'self'; form-action 'self'; base-uri 'none'; "
        "frame-ancestors 'none'"
    ),
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Cache-Control": "no-store",
}


class Guard:
    """Refuses requests that nobody here has made, and restricts what answers may do.

    Args:
        app: answers.
        hosts: names by which it may be asked for; `*` for any.
        authenticate: of the user's own, None to let everybody in.
    """

    def __init__(
        self, app: ASGIApp, hosts: Sequence[str], authenticate: Authenticate | None
    ) -> None:
        self._app = app
        self._hosts = {each.lower() for each in hosts}
        self._authenticate = authenticate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answers a request, or refuses it."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        refusal = await self._refusal(Request(scope, receive))
        answer = self._app if refusal is None else refusal
        await answer(scope, receive, _with_headers(send))

    async def _refusal(self, request: Request) -> Response | None:
        host = host_of(request)
        if "*" not in self._hosts and host not in self._hosts:
            text = f"Host {host!r} is not among the hosts of this page\n"
            return PlainTextResponse(text, 400)
        if self._authenticate is None:
            return None
        found = self._authenticate(request)
        verdict = await found if isawaitable(found) else found
        if isinstance(verdict, Response):
            return verdict
        # Only True lets in: who forgets to return something has forgotten to decide.
        return None if verdict is True else PlainTextResponse("Forbidden\n", 403)


def _with_headers(send: Send) -> Send:
    async def sending(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in _HEADERS.items():
                headers.setdefault(name, value)
        await send(message)

    return sending


def host_of(request: Request) -> str:
    """The name by which a browser asks, without port."""
    host = request.headers.get("host", "").lower()
    name, _, port = host.rpartition(":")
    return name if name and port.isdigit() else host


def form_token(request: Request) -> str:
    """The token for a form, which the browser has in a cookie, or is to be given."""
    return request.cookies.get(COOKIE) or token_urlsafe(32)


def is_own_form(request: Request, token: object) -> bool:
    """Whether a form was sent from one of our pages.

    Args:
        request: with the form.
        token: as it is in the form.
    """
    cookie = request.cookies.get(COOKIE, "")
    site = request.headers.get("sec-fetch-site", "same-origin")
    origin = request.headers.get("origin")
    return (
        bool(cookie)
        and isinstance(token, str)
        and compare_digest(cookie.encode(), token.encode())
        and site == "same-origin"
        and (origin is None or origin.partition("://")[2] == request.headers["host"])
    )
