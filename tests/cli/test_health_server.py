"""What the server of probes answers."""

from __future__ import annotations

from http.client import HTTPConnection

import pytest

from eventsourcing_alchemy.cli.health_server import json_answer, serving


@pytest.mark.parametrize("path", ["/healthz", "/readyz", "/nothing"])
def test_head_is_get_without_a_body(path: str) -> None:
    routes = {
        "/healthz": lambda: json_answer({"problem": None}, is_good=True),
        "/readyz": lambda: json_answer({"problem": "late"}, is_good=False),
    }
    with serving("127.0.0.1", 0, routes) as port:
        seen = []
        for method in ("GET", "HEAD"):
            connection = HTTPConnection("127.0.0.1", port, timeout=10)
            connection.request(method, path)
            with connection.getresponse() as answer:
                body = answer.read()
                assert bool(body) == (method == "GET")
                kind, length = (
                    answer.headers[name] for name in ("Content-Type", "Content-Length")
                )
                seen.append((answer.status, kind, length))
            connection.close()
    assert seen[0] == seen[1]
