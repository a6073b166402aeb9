"""Whatever is run on this project: ``python -m nox --list`` tells what there is.

The tests on another Python or SQLAlchemy: ``nox -s "tests-3.13(sqlalchemy='2.0')"``,
``nox -s tests-3.12`` for both ends of SQLAlchemy, ``nox -s tests -P 3.12`` for the
newest one.
"""

import os
import shutil
from pathlib import Path

import nox

nox.needs_version = ">=2025.5.1"
nox.options.sessions = ["lint", "types", "tests", "docs"]
nox.options.reuse_venv = "yes"

# Containers set it. The processes that tests start would compile the package each time.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)

PYPROJECT = nox.project.load_toml("pyproject.toml")
PYTHONS = ["3.11", "3.12", "3.13"]
SQLALCHEMY = {"2.0": "SQLAlchemy==2.0.40", "2.1": "SQLAlchemy>=2.1,<2.2"}
"""The oldest one that pyproject.toml allows, and the newest."""
SQLALCHEMY_PEER = [
    "eventsourcing-sqlalchemy==1.0.1",
    "eventsourcing==9.5.6",
    "SQLAlchemy<2.1",
    "psycopg[binary]>=3.2,<4",
]
"""What the benchmark compares with, beside the library itself."""

BEHAVIOURS = ["batch_equivalence", "batches", "binds", "careful_batches", "dcb"]
BEHAVIOURS += ["dead_letters", "interrupts", "joining", "leases", "names"]
BEHAVIOURS += ["partial_work", "positions", "processes", "runners", "scoped_sessions"]
BEHAVIOURS += ["server_settings", "single_statements", "sqlstates", "subscriptions"]
BEHAVIOURS += ["tracking", "transaction_integrity", "transactions", "upsert_plans"]
BEHAVIOURS += ["values", "views"]
DEFAULTS = ["tests/conformance", "tests/faults/test_crashes.py"]
DEFAULTS += [f"tests/behaviour/test_{name}.py" for name in BEHAVIOURS]
"""What tests the code that any database has."""
DRIVERS = ["psycopg2", "pg8000", "mysqldb", "mysqlconnector", "mariadbconnector"]
SMALL_SUITE = [
    "tests/conformance/test_recorders.py",
    "tests/behaviour/test_transactions.py",
    "tests/behaviour/test_positions.py",
    "tests/behaviour/test_values.py",
]
"""What tests a driver."""
MYSQLCLIENT = ["tests/conformance", f"--ignore={SMALL_SUITE[0]}"]
MYSQLCLIENT += ["tests/faults/test_writers.py", "-k", "not test_writers or lost"]
"""What tests mysqlclient, beside that: all of the library's cases, lost connections."""
FIREBIRD = ["tests/conformance/test_recorders.py", "tests/conformance/test_dcb.py"]
FIREBIRD += ["-rs", "-k", "not performance"]
# Its driver forgets a statement twice, where threads collect garbage.
FIREBIRD += ["-W", "ignore::pytest.PytestUnraisableExceptionWarning"]
VERSIONS = ["tests/conformance", "tests/behaviour/test_plans.py"]
"""What tests a version of PostgreSQL."""


def groups(*names: str) -> tuple[str, ...]:
    return nox.project.dependency_groups(PYPROJECT, *names)


def run_tests(session: nox.Session, sqlalchemy: str, *options: str) -> None:
    session.install("-e", ".", sqlalchemy, *groups("tests", "demo"))
    workers = ("--numprocesses=3", "--dist=worksteal")
    session.run("python", "-m", "pytest", *workers, *options, *session.posargs)


@nox.session
def tests(session: nox.Session) -> None:
    """Test on this Python and the newest SQLAlchemy; without `faults`."""
    session.log(
        "Installs (half a minute, the first time), then runs some 5,000 tests, on"
    )
    session.log(
        "SQLite and the servers that it finds, three at a time: 10 minutes on 2 cores."
    )
    run_tests(session, SQLALCHEMY["2.1"], "-m", "not faults")


@nox.session
def faults(session: nox.Session) -> None:
    """Test what breaks servers, forks, needs roles or listens: what `tests` omits."""
    session.log(
        "Installs (half a minute, the first time), then runs some 2,000 tests. Many"
    )
    session.log("start servers of their own, to stop and kill: 15 minutes on 2 cores.")
    run_tests(session, SQLALCHEMY["2.1"], "-m", "faults", "--verbose")


@nox.session
def databases(session: nox.Session) -> None:
    """Test on other databases, drivers and versions: ``-- --databases=NAME,…``."""
    session.install("-e", ".", *groups("tests", "databases"))
    pytest = ("python", "-m", "pytest", "--numprocesses=3", "--dist=worksteal")
    if session.posargs:
        session.run(*pytest, *session.posargs)
        return
    session.run(*pytest, "--databases=plain", *DEFAULTS)
    session.run(*pytest, f"--databases={','.join(DRIVERS)}", *SMALL_SUITE)
    session.run(*pytest, "--databases=mysqldb", *MYSQLCLIENT)
    session.run(*pytest, "--databases=sqlcipher", "tests/conformance")
    session.run(*pytest, *FIREBIRD, "--databases=firebird")
    for version in ("17", "18"):
        environment = {"TEST_SERVERS": "own", "TEST_POSTGRESQL_VERSION": version}
        session.run(*pytest, "--databases=postgresql", *VERSIONS, env=environment)


for python in PYTHONS:

    @nox.session(name=f"tests-{python}", python=python)
    @nox.parametrize("sqlalchemy", list(SQLALCHEMY))
    def tests_elsewhere(session: nox.Session, sqlalchemy: str) -> None:
        """Test on a Python and an SQLAlchemy that you choose."""
        run_tests(session, SQLALCHEMY[sqlalchemy])


@nox.session
def galera(session: nox.Session) -> None:
    """Test on a cluster of three nodes, which die and return."""
    session.install("-e", ".", *groups("tests"))
    options = ("tests/faults/galera", "--verbose")
    session.run("python", "-m", "pytest", *options, *session.posargs)


@nox.session
def soak(session: nox.Session) -> None:
    """Write a million events under faults: ``-- --events N``, ``-- --short``."""
    session.install("-e", ".", *groups("tests"))
    environment = {"PYTHONPATH": "tests"}
    session.run("python", "-m", "soak", *session.posargs, env=environment)


@nox.session
def bench(session: nox.Session) -> None:
    """Compare with the peers: ``-- --full``, ``-- --case NAME``, ``-- --help``."""
    session.install("-e", ".[binary,mysql]", *groups("bench"))
    # It needs an older SQLAlchemy than this package is tested with.
    peer = Path(session.create_tmp()).resolve() / "peer"
    session.run("python", "-m", "venv", str(peer))
    python = str(peer / "bin" / "python")
    install = (python, "-m", "pip", "install", "--quiet")
    session.run(*install, *SQLALCHEMY_PEER, external=True)
    options = ("--peer-python", python)
    session.run("python", "-m", "benchmarks", *options, *session.posargs)


@nox.session
def scale(session: nox.Session) -> None:
    """Measure what growth to a million events costs: ``-- --events N``."""
    session.install("-e", ".[binary,mysql]", *groups("bench"))
    session.run("python", "-m", "benchmarks.scale", *session.posargs)


@nox.session
def lint(session: nox.Session) -> None:
    """Check style, format, and that each package imports only from those below it."""
    session.install(*groups("lint"))
    session.run("ruff", "check")
    session.run("ruff", "format", "--check")
    session.run("lint-imports", env={"PYTHONPATH": "src"})


@nox.session
def types(session: nox.Session) -> None:
    """Check the types of everything, this file too."""
    session.install("-e", ".", "nox", *groups("types", "tests", "demo", "bench"))
    session.run("mypy", *session.posargs)


@nox.session
def docs(session: nox.Session) -> None:
    """Build the documentation into docs/_build; a warning is an error."""
    session.install("-e", ".", *groups("docs"))
    session.run("sphinx-build", "-EWnq", "--keep-going", "docs", "docs/_build")


@nox.session
def demo(session: nox.Session) -> None:
    """Project a repository's history: ``-- --repo PATH``, on any SQLALCHEMY_URL."""
    session.install("-e", ".[binary,mysql]", *groups("demo"))
    examples = str(Path("examples").resolve())
    session.chdir(session.invoked_from)
    environment = {"PYTHONPATH": examples}
    session.run("python", "-m", "git_history", *session.posargs, env=environment)


@nox.session
def build(session: nox.Session) -> None:
    """Build into dist/, and check that the wheel needs nothing else to run."""
    session.install(*groups("build"))
    shutil.rmtree("dist", ignore_errors=True)
    session.run("python", "-m", "build", "--outdir", "dist", silent=True)
    (wheel,) = Path("dist").resolve().glob("*.whl")
    check_wheel(session, wheel)


def check_wheel(session: nox.Session, wheel: Path) -> None:
    root = Path.cwd()
    empty = Path(session.create_tmp()).resolve() / "empty"
    session.run("python", "-m", "venv", "--clear", str(empty))
    python = str(empty / "bin" / "python")
    session.run(python, "-m", "pip", "install", "--quiet", str(wheel), external=True)
    session.chdir(empty)
    environment = {"PYTHONPATH": str(root / "examples")}
    script = str(root / "tests" / "examples" / "check_installed.py")
    session.run(python, script, env=environment, external=True)
