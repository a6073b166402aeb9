"""Every test that asks for a backend runs on all that can do what it needs."""

from __future__ import annotations

import gc
import os
import sys
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from types import ModuleType
from typing import TYPE_CHECKING

import pytest
from eventsourcing.utils import clear_topic_cache

import own_servers
from backends import BACKENDS, Backend
from factories import OpenFactory, construct_factory
from faults.missing import unavailable
from leaks import Leaks
from roles import AS_APPLICATION

if TYPE_CHECKING:
    from eventsourcing_alchemy import SQLAlchemyFactory

_failed = pytest.StashKey[bool]()


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line(
        "markers",
        "needs(*capabilities): only for the backends that have all of them",
    )
    config.addinivalue_line(
        "markers",
        "least_privilege(only=False): also, or only, as the role for applications",
    )

    if os.environ.get("TEST_SERVERS") == "own":
        servers = ExitStack()
        config.add_cleanup(servers.close)
        own_servers.start(servers)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        marks = metafunc.definition.iter_markers("needs")
        needed = {capability for mark in marks for capability in mark.args}
        kinds = _kinds(metafunc.definition.get_closest_marker("least_privilege"))
        able = [each for each in kinds if needed <= each.capabilities]
        metafunc.parametrize(
            "backend", able, indirect=True, ids=[each.name for each in able]
        )


def _kinds(least_privilege: pytest.Mark | None) -> Sequence[Backend]:
    if least_privilege is None:
        return BACKENDS
    others = () if least_privilege.kwargs.get("only") else BACKENDS
    return [*others, *AS_APPLICATION]


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_runtest_makereport(
    item: pytest.Item,
) -> Generator[None, pytest.TestReport, pytest.TestReport]:
    report = yield
    if report.failed:
        item.stash[_failed] = True
    return report


@pytest.fixture(scope="session")
def _finished() -> Iterator[None]:
    # What is imported stays: looking for leaks need not look through it each time.
    gc.collect()
    gc.freeze()
    yield
    for each in (*BACKENDS, *AS_APPLICATION):
        each.finish()


@pytest.fixture
def backend(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _finished: None,
) -> Iterator[Backend]:
    """A fresh, empty database, dropped after the test, which must have left it."""
    kind: Backend = request.param
    if reason := kind.unreachable():
        unavailable(f"{kind.name}: {reason}")
    fresh = kind.fresh(tmp_path_factory.mktemp("database"))
    leaks = Leaks(fresh)
    left_nothing = False
    try:
        yield fresh
        # The traceback of a failed test keeps alive what the test was using.
        if _failed not in request.node.stash:
            leaks.check()
            left_nothing = True
    finally:
        fresh.discard(reusable=left_nothing)


@pytest.fixture
def env(backend: Backend) -> dict[str, str]:
    """The environment variables that make the host use the database."""
    return {
        "PERSISTENCE_MODULE": "eventsourcing_alchemy",
        "SQLALCHEMY_URL": backend.url,
    }


@pytest.fixture
def open_factory(env: dict[str, str]) -> Iterator[OpenFactory]:
    """Constructs factories on the database, closed after the test."""
    with ExitStack() as stack:

        def construct(
            name: str = "Application", /, **variables: str
        ) -> SQLAlchemyFactory:
            factory = construct_factory(name, {**env, **variables})
            stack.callback(factory.close)
            return factory

        yield construct


@pytest.fixture
def topic_of(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[object], str]]:
    """Gives an object, one a test, the topic by which the host finds it."""
    module = ModuleType("of_a_test")
    monkeypatch.setitem(sys.modules, module.__name__, module)

    def topic_of(found: object) -> str:
        module.__dict__["found"] = found
        return f"{module.__name__}:found"

    yield topic_of
    clear_topic_cache()


@pytest.fixture
def factory(open_factory: OpenFactory) -> SQLAlchemyFactory:
    """The factory of an application on the database."""
    return open_factory()
