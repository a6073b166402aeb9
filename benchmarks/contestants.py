"""Who takes part."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from sqlalchemy import URL

from benchmarks.cases import Case
from benchmarks.jobs import Address

DRIVERS = {
    "postgresql": "postgresql+psycopg",
    "sqlite": "sqlite",
    "mariadb": "mariadb+pymysql",
}
"""By the kinds of databases."""


@dataclass(frozen=True)
class Contestant:
    """A persistence module, with its settings.

    Attributes:
        name: on the command line.
        title: in reports.
        modules: by the kinds of databases on which it takes part.
        subscribes: on which of them it has subscriptions.
        tagging: modules for events with tags, by the kinds of databases.
        variables: of the environment, its settings.
        is_peer: whether this package is compared with it.
        is_limit: whether it does what the database itself can do.
        appends_only: whether it differs from another one only in how it appends.
        loses_events: whether its subscriptions can miss events, as the case "missed"
            shows: then it does less, and no target is set by it.
        is_old: whether it needs an older SQLAlchemy, in an environment of its own.
    """

    name: str
    title: str
    modules: Mapping[str, str]
    subscribes: frozenset[str]
    tagging: Mapping[str, str] = field(default_factory=dict)
    variables: Mapping[str, str] = field(default_factory=dict)
    is_peer: bool = False
    is_limit: bool = False
    appends_only: bool = False
    loses_events: bool = False
    is_old: bool = False

    def takes_part(self, case: Case, database: str) -> bool:
        """Whether it can do it, and whether it makes sense."""
        if database not in self._modules(case.is_tagged):
            return False
        if case.is_far and database == "sqlite":
            return False
        if self.is_limit:
            return database in case.limit
        if case.subscribes and database not in self.subscribes:
            return False
        return case.appends or not self.appends_only

    def environment(
        self, database: str, address: Address, *, is_tagged: bool = False
    ) -> dict[str, str]:
        """Variables with which it finds the database."""
        module = self._modules(is_tagged)[database]
        found = {
            "eventsourcing.postgres": _postgres_variables,
            "eventsourcing.dcb.postgres_tt": _postgres_variables,
            "eventsourcing.sqlite": _sqlite_variables,
        }.get(module, _sqlalchemy_variables)(database, address)
        return {"PERSISTENCE_MODULE": module, **found, **self.variables}

    def _modules(self, is_tagged: bool) -> Mapping[str, str]:
        return self.tagging if is_tagged else self.modules


def _postgres_variables(_: str, address: Address) -> dict[str, str]:
    return {
        "POSTGRES_DBNAME": address.name,
        "POSTGRES_HOST": address.host,
        "POSTGRES_PORT": str(address.port),
        "POSTGRES_USER": address.user,
        "POSTGRES_PASSWORD": address.password,
    }


def _sqlite_variables(_: str, address: Address) -> dict[str, str]:
    return {"SQLITE_DBNAME": address.name}


def _sqlalchemy_variables(database: str, address: Address) -> dict[str, str]:
    return {"SQLALCHEMY_URL": url(database, address).render_as_string(False)}


def url(database: str, address: Address) -> URL:
    """For SQLAlchemy."""
    return URL.create(
        DRIVERS[database],
        username=address.user or None,
        password=address.password or None,
        host=address.host or None,
        port=address.port or None,
        database=address.name,
    )


_OURS = dict.fromkeys(DRIVERS, "eventsourcing_alchemy")
_ALL = frozenset(DRIVERS)
_POSTGRESQL = frozenset({"postgresql"})

OURS = Contestant("ours", "this package", _OURS, _ALL, tagging=_OURS)
CONTESTANTS = (
    OURS,
    Contestant(
        "host",
        "eventsourcing",
        {"postgresql": "eventsourcing.postgres", "sqlite": "eventsourcing.sqlite"},
        _POSTGRESQL,
        tagging={"postgresql": "eventsourcing.dcb.postgres_tt"},
        is_peer=True,
    ),
    Contestant(
        "host-fast",
        "eventsourcing, with database functions",
        {"postgresql": "eventsourcing.postgres"},
        _POSTGRESQL,
        variables={"POSTGRES_ENABLE_DB_FUNCTIONS": "yes"},
        is_peer=True,
        appends_only=True,
        # Its function does not lock the table.
        loses_events=True,
    ),
    Contestant(
        "sqlalchemy-peer",
        "eventsourcing-sqlalchemy",
        dict.fromkeys(("postgresql", "sqlite"), "eventsourcing_sqlalchemy"),
        _POSTGRESQL,
        is_peer=True,
        is_old=True,
    ),
    Contestant("limit", "the database's limit", _OURS, _ALL, is_limit=True),
)
