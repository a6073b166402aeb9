"""Durability, and the size of packets, asked of the server."""

from collections.abc import Iterator

from sqlalchemy import Connection, text

from eventsourcing_alchemy.dialects.base.diagnosis import Diagnosis, Finding, Level

SMALL_PACKET = 4 * 1024 * 1024
"""Bytes below which states of events may well not fit."""


class MySQLDiagnosis(Diagnosis):
    """Durability, and the size of packets."""

    def server(self, connection: Connection) -> str:
        """As the server calls itself."""
        return str(connection.scalar(text("SELECT VERSION()")))

    def durability(self, connection: Connection) -> Iterator[Finding]:
        """By `innodb_flush_log_at_trx_commit`, and `sync_binlog` where there is one."""
        names = ["innodb_flush_log_at_trx_commit"]
        if _variable(connection, "log_bin") == "ON":
            names.append("sync_binlog")
        for name in names:
            value = _variable(connection, name)
            if value == "1":
                yield Finding(name, Level.OK, value)
            else:
                text_ = f"{value}: a crash may lose acknowledged commits"
                yield Finding(name, Level.WARNING, text_, f"SET GLOBAL {name} = 1")

    def limits(self, connection: Connection) -> Iterator[Finding]:
        """By `max_allowed_packet`."""
        size = int(_variable(connection, "max_allowed_packet") or 0)
        # PyMySQL sends bytes as hexadecimal digits.
        shown = f"{size:,} bytes: states of up to {size // 2:,} bytes fit"
        if size >= SMALL_PACKET:
            yield Finding("max_allowed_packet", Level.OK, shown)
        else:
            remedy = "SET GLOBAL max_allowed_packet = 16777216, or more"
            yield Finding("max_allowed_packet", Level.WARNING, shown, remedy)


def _variable(connection: Connection, name: str) -> str | None:
    found = connection.execute(text("SHOW GLOBAL VARIABLES LIKE :name"), {"name": name})
    row = found.first()
    return None if row is None else str(row[1])
