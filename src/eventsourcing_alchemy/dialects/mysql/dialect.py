"""MySQL and MariaDB: READ COMMITTED, LAST_INSERT_ID, GET_LOCK."""

from eventsourcing_alchemy.dialects.base import BaseDialect
from eventsourcing_alchemy.dialects.mysql.connections import MySQLConnections
from eventsourcing_alchemy.dialects.mysql.dcb_appending import MySQLDCBAppending
from eventsourcing_alchemy.dialects.mysql.diagnosis import MySQLDiagnosis
from eventsourcing_alchemy.dialects.mysql.errors import MySQLErrors
from eventsourcing_alchemy.dialects.mysql.generated_numbers import (
    MySQLGeneratedNumbers,
)
from eventsourcing_alchemy.dialects.mysql.side_effects import MySQLSideEffects
from eventsourcing_alchemy.dialects.mysql.stored_tables import MySQLStoredTables
from eventsourcing_alchemy.dialects.mysql.table_switch import MySQLTableSwitch
from eventsourcing_alchemy.dialects.mysql.transactions import MySQLTransactions
from eventsourcing_alchemy.dialects.mysql.upserts import MySQLUpserts


class MySQLDialect(
    MySQLConnections,
    MySQLErrors,
    MySQLTransactions,
    MySQLDCBAppending,
    MySQLUpserts,
    MySQLSideEffects,
    MySQLTableSwitch,
    MySQLDiagnosis,
    MySQLStoredTables,
    MySQLGeneratedNumbers,
    BaseDialect,
):
    """What MySQL and MariaDB do differently."""
