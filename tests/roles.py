"""The roles of docs/how-to/roles.md, made by the SQL of that page."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

from sqlalchemy import Connection, NullPool, create_engine, delete, make_url

from backends import BACKENDS, Backend, Capability, Server
from docs.pages import ROOT, blocks
from eventcounters import EventCounters
from eventsourcing_alchemy import metadata
from eventsourcing_alchemy.schema.migrate import upgrade

PAGE = ROOT / "docs" / "how-to" / "roles.md"
PASSWORD = "change-me"  # noqa: S105
VIEW = EventCounters.counters


@dataclass(frozen=True)
class Roles:
    """Both roles, under names of their own, and the database that one of them owns."""

    kind: str
    database: Server

    def make(self) -> None:
        """Make the roles, the tables, and a view that has not been granted yet."""
        self.run("before the migrations", self.database.url)
        with self.connected("migrations") as connection:
            upgrade(connection, None)
            EventCounters.metadata.create_all(connection)
        self.run("after the migrations", self.url("migrations"))
        self.run("a view", self.url("migrations"))

    def empty(self) -> None:
        """Delete all rows."""
        with self.connected("migrations") as connection:
            for table in (*metadata.sorted_tables, VIEW):
                connection.execute(delete(table))

    def drop(self) -> None:
        """Drop the database and the roles."""
        self.database.discard(reusable=False)
        with connected(self.database.admin) as connection:
            connection.exec_driver_sql(self._renamed("DROP USER bank_migrations"))
            connection.exec_driver_sql(self._renamed("DROP USER bank_app"))

    def url(self, role: str) -> str:
        """The URL of the database for one of the roles."""
        name = self._renamed(f"bank_{role}")
        url = make_url(self.database.url).set(username=name, password=PASSWORD)
        return url.render_as_string(hide_password=False)

    @contextmanager
    def connected(self, role: str) -> Iterator[Connection]:
        """A transaction of one of the roles, which is committed."""
        with connected(self.url(role)) as connection:
            yield connection

    def run(self, title: str, url: str) -> None:
        """Run the SQL of the page that has this title."""
        sql = self._renamed(script(f"{self.kind}: {title}"))
        with connected(url) as connection:
            for statement in sql.split(";\n"):
                if statement.strip():
                    connection.exec_driver_sql(statement)

    def _renamed(self, sql: str) -> str:
        sql = sql.replace("balances", VIEW.name)
        return re.sub(r"\bbank(?=\b|_)", self.database.database, sql)


def script(title: str) -> str:
    """The SQL of the page that begins with this comment."""
    (found,) = (
        block.text
        for block in blocks(PAGE)
        if block.language == "sql" and block.text.startswith(f"-- {title}\n")
    )
    return found


@contextmanager
def connected(url: str) -> Iterator[Connection]:
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        yield connection


@dataclass(frozen=True)
class AsApplication(Backend):
    """Databases of a server, as the role for applications uses them.

    Roles and tables take long to make, so those left in order are used again.
    """

    server: Server = field(kw_only=True)
    roles: Roles | None = None
    _emptied: list[Roles] = field(default_factory=list, compare=False, repr=False)

    def unreachable(self) -> str | None:
        return self.server.unreachable()

    def fresh(self, directory: Path) -> AsApplication:
        roles = self._emptied.pop() if self._emptied else self._made(directory)
        return replace(self, url=roles.url("app"), roles=roles)

    def _made(self, directory: Path) -> Roles:
        database = self.server.fresh(directory)
        assert isinstance(database, Server)
        roles = Roles(type(database).__name__, database)
        roles.make()
        return roles

    def leftovers(self) -> Sequence[str]:
        assert self.roles is not None
        return self.roles.database.leftovers()

    def discard(self, *, reusable: bool) -> None:
        assert self.roles is not None
        if reusable:
            self.roles.empty()
            self._emptied.append(self.roles)
        else:
            self.roles.drop()

    def finish(self) -> None:
        for roles in self._emptied:
            roles.drop()


AS_APPLICATION: Sequence[AsApplication] = [
    AsApplication(
        f"{server.name}-least",
        "",
        server.capabilities - {Capability.TRANSACTIONAL_DDL, Capability.SCHEMAS},
        server=server,
    )
    for server in BACKENDS
    if isinstance(server, Server)
]
