"""`/healthz`, `/readyz` and `/metrics`, for whoever supervises a process."""

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from socket import socket
from threading import Thread
from typing import Any, ClassVar, NamedTuple

from eventsourcing_alchemy.cli.listening import listener_at


class Answer(NamedTuple):
    """What is answered to a request."""

    status: HTTPStatus
    content_type: str
    body: bytes


Routes = Mapping[str, Callable[[], Answer]]
"""What answers a GET or HEAD, by path."""


def json_answer(content: Mapping[str, Any], *, is_good: bool) -> Answer:
    """A JSON document with the status that a probe looks at: 200 or 503."""
    status = HTTPStatus.OK if is_good else HTTPStatus.SERVICE_UNAVAILABLE
    return Answer(status, "application/json", json.dumps(content).encode() + b"\n")


def text_answer(text: str, status: HTTPStatus) -> Answer:
    """A line of text."""
    return Answer(status, "text/plain; charset=utf-8", text.encode() + b"\n")


class _Handler(BaseHTTPRequestHandler):
    routes: ClassVar[Routes] = {}
    timeout = 10
    """Seconds in which a request has to come."""

    def do_GET(self) -> None:
        answer = self._answer()
        self._send_head(answer)
        self.wfile.write(answer.body)

    def do_HEAD(self) -> None:
        self._send_head(self._answer())

    def _answer(self) -> Answer:
        route = self.routes.get(self.path.partition("?")[0])
        if route is None:
            paths = ", ".join(self.routes)
            return text_answer(
                f"Not found: there are only {paths}", HTTPStatus.NOT_FOUND
            )
        return route()

    def _send_head(self, answer: Answer) -> None:
        self.send_response(answer.status)
        self.send_header("Content-Type", answer.content_type)
        self.send_header("Content-Length", str(len(answer.body)))
        self.end_headers()

    def version_string(self) -> str:
        return "eventsourcing-alchemy"

    def log_message(self, *_: Any) -> None:
        """Nothing: probes come every few seconds."""


class _Server(ThreadingHTTPServer):
    daemon_threads = True
    # One that waits for a database must not keep the process from its end.
    block_on_close = False

    def __init__(self, listener: socket, handler: type[BaseHTTPRequestHandler]) -> None:
        super().__init__(listener.getsockname()[:2], handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener


@contextmanager
def serving(host: str, port: int, routes: Routes) -> Iterator[int]:
    """Answers requests in the block, each in a thread of its own.

    Args:
        host: the address to listen at.
        port: 0 for any that is free.
        routes: by path.

    Yields:
        The port.

    Raises:
        ConfigurationError: if nobody can listen there.
    """
    handler = type("Handler", (_Handler,), {"routes": routes})
    server = _Server(listener_at(host, port, "--health-port"), handler)
    thread = Thread(target=server.serve_forever, name="health", daemon=True)
    thread.start()
    try:
        yield server.socket.getsockname()[1]
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
