"""Every test that asks for a backend runs on all that can do what it needs."""

from __future__ import annotations

import gc
import os
import signal
import sys
from collections import Counter
from collections.abc import Callable, Generator, Iterator, Sequence
from contextlib import ExitStack
from pathlib import Path
from tempfile import mkdtemp
from types import ModuleType
from typing import TYPE_CHECKING, Any

import pytest
from eventsourcing.utils import clear_topic_cache

import made_tables
import own_servers
from backends import BACKENDS, OBSERVED, Backend, Capability
from factories import OpenFactory, construct_factory
from faults import report
from faults.missing import Missing, unavailable
from leaks import Leaks
from observations import Observation
from other_backends import OTHER_BACKENDS
from roles import AS_APPLICATION, AsApplication

if TYPE_CHECKING:
    from eventsourcing_alchemy import SQLAlchemyFactory

_failed = pytest.StashKey[bool]()

_HERE = Path(__file__).parent
_APART = (_HERE / "faults", _HERE / "privileges")
"""What is in these folders has the marker `faults`."""

_WITH_TABLES = [_HERE / "behaviour", _HERE / "cli", _HERE / "conformance"]
_WITH_TABLES += [_HERE / "rebuilding", _HERE / "telemetry", _HERE / "transfer"]
_WITH_TABLES += [_HERE / "verification", _HERE / "web"]
"""What is in these folders finds our tables, unless it has the marker `empty`."""

_OPERATED = [_HERE / "cli", _HERE / "docs", _HERE / "migrations", _HERE / "rebuilding"]
_OPERATED += [_HERE / "transfer", _HERE / "verification", _HERE / "web"]
"""What is in these folders has it where the database is a server: it takes long."""


def pytest_addoption(parser: pytest.Parser) -> None:
    names = ", ".join(each.name for each in (*BACKENDS, *OTHER_BACKENDS))
    parser.addoption(
        "--databases",
        type=lambda names: names.split(","),
        help=f"run the tests on these instead of the usual databases: {names}",
    )


def pytest_configure(config: pytest.Config) -> None:
    if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
        # As in the background of a shell; what tests start would inherit it.
        signal.signal(signal.SIGINT, signal.default_int_handler)
    config.addinivalue_line(
        "markers",
        "needs(*capabilities): only for the backends that have all of them",
    )
    config.addinivalue_line(
        "markers",
        "least_privilege(only=False): also, or only, as the role for applications",
    )
    config.addinivalue_line(
        "markers",
        "faults: breaks servers, forks, needs roles, or repeats what was tested once",
    )
    config.addinivalue_line(
        "markers",
        "observed: also with a listener, for whom SQLAlchemy executes our statements",
    )
    config.addinivalue_line(
        "markers", "empty: on a database without our tables, where it has them usually"
    )
    config.addinivalue_line(
        "markers", "once: on one database, because the outcome depends on none"
    )
    if os.environ.get("TEST_SERVERS") == "own" and not _is_worker(config):
        servers = ExitStack()
        config.add_cleanup(servers.close)
        try:
            own_servers.start(servers)
        except Missing as missing:
            raise pytest.UsageError(f"TEST_SERVERS=own: {missing}") from None


def _is_worker(config: pytest.Config) -> bool:
    """Whether this is one of several processes, which share what the first starts."""
    return hasattr(config, "workerinput")


def pytest_report_header() -> Iterator[str]:
    """Say which databases there are, and which tests will be skipped."""
    yield "databases:"
    for each in BACKENDS:
        reason = each.unreachable()
        where = f"NOT REACHABLE: its tests are skipped, or fail if CI=true: {reason}"
        yield f"  {each.name}: {where if reason else each.place}"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if _is_in(item, _APART):
            item.add_marker(pytest.mark.faults)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "backend" in metafunc.fixturenames:
        marks = metafunc.definition.iter_markers("needs")
        needed = {capability for mark in marks for capability in mark.args}
        kinds = _asked_for(metafunc.config) or _kinds(metafunc.definition)
        able = [each for each in kinds if needed <= each.capabilities]
        if metafunc.definition.get_closest_marker("once") is not None:
            able = able[:1]
        parameters = [
            pytest.param(each, id=each.name, marks=_marks(each, metafunc.definition))
            for each in able
        ]
        metafunc.parametrize("backend", parameters, indirect=True)


def _marks(kind: Backend, definition: pytest.Item) -> Sequence[pytest.MarkDecorator]:
    operates_server = Capability.SERVER in kind.capabilities and _is_in(
        definition, _OPERATED
    )
    is_apart = isinstance(kind, AsApplication) or kind.is_observed or operates_server
    return [pytest.mark.faults] if is_apart else []


def _is_in(item: pytest.Item, folders: Sequence[Path]) -> bool:
    return any(item.path.is_relative_to(folder) for folder in folders)


def _finds_tables(item: pytest.Item) -> bool:
    return _is_in(item, _WITH_TABLES) and item.get_closest_marker("empty") is None


def _asked_for(config: pytest.Config) -> Sequence[Backend]:
    names = config.getoption("--databases") or []
    return [each for name in names for each in _named(name)]


def _named(name: str) -> Sequence[Backend]:
    """The database of that name, or all of a family: `sqlite` is two."""
    known = {each.name: each for each in (*BACKENDS, *OTHER_BACKENDS)}
    if name in known:
        return [known[name]]
    family = [each for each in BACKENDS if each.name.startswith(f"{name}-")]
    if not family:
        raise pytest.UsageError(f"unknown database: {name}")
    return family


def _kinds(definition: pytest.Item) -> Sequence[Backend]:
    if definition.get_closest_marker("observed") is not None:
        return [*BACKENDS, *OBSERVED]
    least_privilege = definition.get_closest_marker("least_privilege")
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


def pytest_sessionfinish(session: pytest.Session) -> None:
    if _is_worker(session.config):
        session.config.workeroutput["faults"] = report.exported()  # type: ignore[attr-defined]


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    report.absorb(getattr(node, "workeroutput", {}).get("faults"))


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    for line in report.summary():
        terminalreporter.write_line(line)
    # In a line a reason; pytest's own would have a line a test.
    skipped = terminalreporter.stats.get("skipped", [])
    for reason, count in Counter(each.longrepr[2] for each in skipped).items():
        terminalreporter.write_line(f"skipped {count}: {reason}")


@pytest.fixture(scope="session")
def _finished() -> Iterator[None]:
    # What is imported stays: looking for leaks need not look through it each time.
    gc.collect()
    gc.freeze()
    yield
    made_tables.finish()
    for each in (*BACKENDS, *OTHER_BACKENDS, *AS_APPLICATION):
        each.finish()


@pytest.fixture
def backend(
    request: pytest.FixtureRequest,
    tmp_path_factory: pytest.TempPathFactory,
    _finished: None,
) -> Iterator[Backend]:
    """A fresh database, for this test alone, which must have left it.

    In some folders it has our tables, unless the test has the marker `empty`.
    """
    kind: Backend = request.param
    if reason := kind.unreachable():
        unavailable(f"{kind.name}: {reason}")
    has_tables = kind.has_tables and _finds_tables(request.node)
    # Not its mktemp(), which takes the longer the more there are.
    directory = Path(mkdtemp(dir=tmp_path_factory.getbasetemp()))
    fresh = made_tables.fresh(kind, directory) if has_tables else kind.fresh(directory)
    observation = (
        Observation.LISTENER_OF_CURSORS if kind.is_observed else Observation.NOBODY
    )
    leaks = Leaks(fresh)
    left_nothing = False
    try:
        with observation.installed():
            yield fresh
        # The traceback of a failed test keeps alive what the test was using.
        if _failed not in request.node.stash:
            leaks.check()
            left_nothing = True
    finally:
        if not (has_tables and left_nothing and made_tables.keep(fresh)):
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
