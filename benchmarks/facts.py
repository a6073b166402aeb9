"""What each contestant really uses."""

from importlib.metadata import PackageNotFoundError, version

from benchmarks.domain import Shop
from benchmarks.durability import make_full_the_default
from benchmarks.jobs import Job, Measured
from benchmarks.peers import peer

_QUERIES = {
    "postgresql": {
        "synchronous_commit": "SELECT current_setting('synchronous_commit')",
        "isolation": "SELECT current_setting('transaction_isolation')",
    },
    "sqlite": {
        "journal_mode": "PRAGMA journal_mode",
        "synchronous": "PRAGMA synchronous",
    },
    "mariadb": {
        "innodb_flush_log_at_trx_commit": "SELECT @@innodb_flush_log_at_trx_commit",
        "isolation": "SELECT @@tx_isolation",
    },
}
_LEVELS = {"0": "OFF", "1": "NORMAL", "2": "FULL", "3": "EXTRA"}
_PACKAGES = ("eventsourcing", "eventsourcing-sqlalchemy", "SQLAlchemy", "psycopg")


def facts(job: Job) -> Measured:
    """Of the settings of a contestant's own connection, and of versions."""
    shop = Shop(env=job.environment)
    ask = peer(job.environment["PERSISTENCE_MODULE"]).ask
    queries = _QUERIES[job.database]
    found = {name: ask(shop.recorder, query) for name, query in queries.items()}
    if "synchronous" in found:
        found["synchronous"] = _LEVELS[found["synchronous"]]
        if make_full_the_default():
            found["synchronous"] += " (set by the benchmark)"
    versions = {name: _version(name) for name in _PACKAGES}
    used = {name: version for name, version in versions.items() if version}
    return Measured(facts={**found, **used})


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""
