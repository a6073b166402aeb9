"""PostgreSQL: one statement an append, LISTEN/NOTIFY, advisory locks."""

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.postgresql.bulk_inserting import (
    PostgreSQLBulkInserting,
)
from eventsourcing_alchemy.dialects.postgresql.connections import PostgreSQLConnections
from eventsourcing_alchemy.dialects.postgresql.dcb_appending import (
    PostgreSQLDCBAppending,
)
from eventsourcing_alchemy.dialects.postgresql.diagnosis import PostgreSQLDiagnosis
from eventsourcing_alchemy.dialects.postgresql.errors import PostgreSQLErrors
from eventsourcing_alchemy.dialects.postgresql.generated_numbers import (
    PostgreSQLGeneratedNumbers,
)
from eventsourcing_alchemy.dialects.postgresql.listening import PostgreSQLAnnouncements
from eventsourcing_alchemy.dialects.postgresql.side_effects import PostgreSQLSideEffects
from eventsourcing_alchemy.dialects.postgresql.stored_tables import (
    PostgreSQLStoredTables,
)
from eventsourcing_alchemy.dialects.postgresql.table_switch import PostgreSQLTableSwitch
from eventsourcing_alchemy.dialects.postgresql.transactions import (
    PostgreSQLTransactions,
)
from eventsourcing_alchemy.dialects.postgresql.upserts import PostgreSQLUpserts


class PostgreSQLDialect(
    PostgreSQLConnections,
    PostgreSQLErrors,
    PostgreSQLTransactions,
    PostgreSQLDCBAppending,
    PostgreSQLBulkInserting,
    PostgreSQLUpserts,
    PostgreSQLSideEffects,
    PostgreSQLAnnouncements,
    PostgreSQLTableSwitch,
    PostgreSQLDiagnosis,
    PostgreSQLStoredTables,
    PostgreSQLGeneratedNumbers,
    BaseDialect,
):
    """What PostgreSQL does differently."""
