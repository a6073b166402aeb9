"""The page in a browser: Chromium, where it is installed."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import uvicorn
from playwright.sync_api import Browser, Page, sync_playwright

from eventsourcing_alchemy import (
    Backoff,
    PoisonPolicy,
    SQLAlchemyDatastore,
    SQLAlchemyProjectionRunner,
)
from eventsourcing_alchemy.web import create_app
from factories import OpenFactory
from faults.missing import unavailable
from faults.waiting import wait_until
from positions import Positions
from web.school import HOSTILE, Noting, School

CHROMIUM = Path("/usr/bin/chromium")


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    if not CHROMIUM.exists():
        unavailable(f"{CHROMIUM}: install Debian's package 'chromium'")
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(
            executable_path=CHROMIUM, args=["--no-sandbox"]
        )
        yield browser
        browser.close()


@pytest.fixture
def page(browser: Browser) -> Iterator[Page]:
    """A page that must not meet an error, nor ask anybody else."""
    problems: list[str] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.set_default_timeout(10_000)
        page.on("pageerror", lambda error: problems.append(str(error)))
        page.on(
            "console",
            lambda message: (
                problems.append(message.text)
                if "Content Security" in message.text
                else None
            ),
        )
        asked: list[str] = []
        page.on("request", lambda request: asked.append(request.url))
        yield page
        page.close()
    assert problems == []
    assert [each for each in asked if "//127.0.0.1:" not in each] == []


Serve = Callable[..., str]


@pytest.fixture
def datastore(open_factory: OpenFactory) -> SQLAlchemyDatastore:
    factory = open_factory()
    factory.tracking_recorder()
    return factory.datastore


@pytest.fixture
def serve(datastore: SQLAlchemyDatastore) -> Iterator[Serve]:
    """Serves the page, and returns its address."""
    with ExitStack() as stack:

        def serve(app: Any = None, **options: Any) -> str:
            options.setdefault("interval", 0.2)
            served = app or create_app(datastore, **options)
            server = uvicorn.Server(
                uvicorn.Config(
                    served, port=0, log_level="error", timeout_graceful_shutdown=1
                )
            )
            thread = Thread(target=server.run)
            thread.start()

            def stop() -> None:
                server.should_exit = True
                thread.join(20)

            stack.callback(stop)
            wait_until(lambda: server.started, "it does not start")
            port = server.servers[0].sockets[0].getsockname()[1]
            return f"http://127.0.0.1:{port}"

        yield serve


DECLARED = """
[tool.eventsourcing-alchemy.projections.noting]
application = "web.school:School"
projection = "web.school:Noting"
"""


@pytest.fixture
def config(tmp_path: Path) -> Path:
    """A file that declares the projection."""
    file = tmp_path / "pyproject.toml"
    file.write_text(DECLARED)
    return file


@pytest.fixture
def school(env: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> Iterator[School]:
    """With some dogs, and a projection that has passed over an event."""
    for name, value in env.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Noting, "is_mended", False)
    policy = PoisonPolicy(1, Backoff(0.001, 0.001), dead_letter=True)
    with School({**os.environ, **env}) as school:
        school.register("Fido", "roll over", HOSTILE)
        school.register(HOSTILE, "sit")
        with SQLAlchemyProjectionRunner(
            application_class=School,
            projection_class=Noting,
            view_class=Positions,
            env=env,
            poison=policy,
        ) as runner:
            runner.wait(5, timeout=10)
        yield school
