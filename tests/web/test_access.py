"""Who may ask for what: hosts, forms of others, the user's own authentication."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from eventsourcing.persistence import Tracking
from prometheus_client.parser import text_string_to_metric_families
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import RedirectResponse
from starlette.routing import Mount
from starlette.testclient import TestClient

from backends import Capability
from behaviour.workers import new_events
from eventsourcing_alchemy import ConfigurationError, SQLAlchemyDatastore
from eventsourcing_alchemy.runners.dead_letters import DeadLetters
from eventsourcing_alchemy.web import create_app
from eventsourcing_alchemy.web.access import COOKIE
from factories import OpenFactory

pytestmark = [pytest.mark.once, pytest.mark.needs(Capability.SHARED)]

Open = Callable[..., TestClient]
HERE = "http://127.0.0.1"


@pytest.fixture
def datastore(open_factory: OpenFactory) -> SQLAlchemyDatastore:
    factory = open_factory()
    factory.application_recorder().insert_events(new_events(3))
    return factory.datastore


@pytest.fixture
def client(datastore: SQLAlchemyDatastore) -> Open:
    def open_client(**options: Any) -> TestClient:
        return TestClient(create_app(datastore, **options), base_url=HERE)

    return open_client


@pytest.fixture
def letters(open_factory: OpenFactory) -> DeadLetters:
    letters = DeadLetters(open_factory("p").tracking_recorder())
    letters.record(Tracking("Application", 1), "topic", ValueError("why"), 1)
    return letters


class TestHosts:
    @pytest.mark.parametrize(
        ("host", "status"),
        [
            ("127.0.0.1", 200),
            ("127.0.0.1:8080", 200),
            ("LOCALHOST:1", 200),
            ("[::1]", 200),
            ("[::1]:8080", 200),
            ("evil.example", 400),
            ("evil.example:127.0.0.1", 400),
            ("127.0.0.1.evil.example", 400),
            ("", 400),
        ],
    )
    def test_of_loopback_alone(self, client: Open, host: str, status: int) -> None:
        for path in ("/", "/static/style.css", "/metrics", "/nothing"):
            found = client().get(path, headers={"host": host}).status_code
            assert found == (404 if path == "/nothing" and status == 200 else status)

    def test_that_are_allowed(self, client: Open) -> None:
        ours = client(hosts=["ops.example"])
        assert ours.get("/", headers={"host": "ops.example:443"}).status_code == 200
        assert ours.get("/").status_code == 400
        assert client(hosts=["*"]).get("/", headers={"host": "x"}).status_code == 200


class TestAnswers:
    @pytest.mark.parametrize("path", ["/", "/nothing", "/static/page.js", "/metrics"])
    def test_restrict_the_browser(self, client: Open, path: str) -> None:
        headers = client().get(path).headers
        policy = headers["content-security-policy"]
        assert "default-src 'none'" in policy
        assert "unsafe" not in policy
        assert "//" not in policy
        assert headers["x-content-type-options"] == "nosniff"
        assert headers["cache-control"] == "no-store"

    @pytest.mark.parametrize("path", ["/", "/events", "/dead-letters"])
    def test_have_no_inline_scripts_or_styles(self, client: Open, path: str) -> None:
        text = client(allow_actions=True).get(path).text
        assert "style=" not in text
        assert "<style" not in text
        assert text.count("<script") == text.count("<script src=") == 1

    def test_no_cookie_without_actions(self, client: Open) -> None:
        assert "set-cookie" not in client().get("/").headers
        cookie = client(allow_actions=True).get("/").headers["set-cookie"]
        assert "HttpOnly" in cookie
        assert "SameSite=strict" in cookie

    def test_metrics(self, client: Open) -> None:
        families = text_string_to_metric_families(client().get("/metrics").text)
        assert "eventsourcing_application_position" in {each.name for each in families}


class TestForms:
    def send(self, client: TestClient, **headers: str) -> int:
        token = client.cookies.get(COOKIE)
        form = {
            "token": headers.pop("token", token),
            "projection": "p",
            "application": "Application",
            "position": "1",
        }
        answer = client.post(
            "/dead-letter/discard", data=form, headers=headers, follow_redirects=False
        )
        return answer.status_code

    def test_of_our_own_pages(self, client: Open, letters: DeadLetters) -> None:
        ours = client(allow_actions=True)
        ours.get("/")
        assert self.send(ours, origin=HERE, **{"sec-fetch-site": "same-origin"}) == 303
        assert letters.count() == 0

    @pytest.mark.parametrize(
        "headers",
        [
            {"token": "guessed"},
            {"token": ""},
            {"origin": "http://evil.example"},
            {"origin": "null"},
            {"sec-fetch-site": "cross-site"},
            {"sec-fetch-site": "same-site"},
        ],
    )
    def test_of_others_are_refused(
        self, client: Open, letters: DeadLetters, headers: dict[str, str]
    ) -> None:
        ours = client(allow_actions=True)
        ours.get("/")
        assert self.send(ours, **headers) == 403
        assert self.send(client(allow_actions=True), token="") == 403
        assert letters.count() == 1

    def test_that_are_too_long_are_refused(self, client: Open) -> None:
        answer = client(allow_actions=True).post(
            "/dead-letter/discard", content=b"x" * 100_000
        )
        assert answer.status_code == 400

    def test_without_actions_there_are_none(
        self, client: Open, letters: DeadLetters
    ) -> None:
        ours = client()
        assert self.send(ours, token="x")  # noqa: S106 == 404
        assert letters.count() == 1


class TestAuthentication:
    async def refuse_later(self, _: Request) -> bool:
        return False

    @pytest.mark.parametrize("verdict", [False, None, 1, "yes"])
    def test_refuses(self, client: Open, verdict: Any) -> None:
        ours = client(authenticate=lambda _: verdict)
        for path in ("/", "/static/page.js", "/metrics", "/live?application=x"):
            assert ours.get(path).status_code == 403

    def test_refuses_later(self, client: Open) -> None:
        assert client(authenticate=self.refuse_later).get("/").status_code == 403

    def test_lets_in(self, client: Open) -> None:
        ours = client(authenticate=lambda each: each.headers.get("x-user") == "ada")
        assert ours.get("/").status_code == 403
        assert ours.get("/", headers={"x-user": "ada"}).status_code == 200

    def test_leads_elsewhere(self, client: Open) -> None:
        ours = client(authenticate=lambda _: RedirectResponse("/login"))
        assert ours.get("/", follow_redirects=False).headers["location"] == "/login"


def test_mounted(datastore: SQLAlchemyDatastore, letters: DeadLetters) -> None:
    """All addresses are below that of the mount."""
    app = create_app(datastore, allow_actions=True)
    client = TestClient(Starlette(routes=[Mount("/ops/events", app)]), base_url=HERE)
    first = client.get("/ops/events/")
    text = first.text
    assert letters.count() == 1
    for found in (
        "/static/style.css",
        "/events?application=Application",
        "/dead-letters",
    ):
        address = f"/ops/events{found}"
        assert f'"{address}"' in text
        assert client.get(address).status_code == 200
    assert "Path=/ops/events;" in first.headers["set-cookie"]
    assert 'aria-current="page">Overview' in text


def test_what_is_not_installed_is_named(
    datastore: SQLAlchemyDatastore, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [*sys.modules]:
        if name.startswith("eventsourcing_alchemy.web."):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "jinja2", None)
    with pytest.raises(ConfigurationError, match="with the extra 'web'"):
        create_app(datastore)


def test_a_path_as_text(datastore: SQLAlchemyDatastore, tmp_path: Path) -> None:
    file = tmp_path / "projections.toml"
    with pytest.raises(ConfigurationError, match="cannot be read"):
        create_app(datastore, config=str(file))
    file.write_text("", encoding="utf-8")
    create_app(datastore, config=str(file))
