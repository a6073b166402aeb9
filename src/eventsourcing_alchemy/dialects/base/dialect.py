"""What works on every database that SQLAlchemy speaks."""

from eventsourcing_alchemy.dialects.base.bulk_inserting import BulkInserting
from eventsourcing_alchemy.dialects.base.connections import Connections
from eventsourcing_alchemy.dialects.base.dcb_appending import DCBAppending
from eventsourcing_alchemy.dialects.base.diagnosis import Diagnosis
from eventsourcing_alchemy.dialects.base.errors import Errors
from eventsourcing_alchemy.dialects.base.generated_numbers import GeneratedNumbers
from eventsourcing_alchemy.dialects.base.listening import Announcements
from eventsourcing_alchemy.dialects.base.side_effects import SideEffects
from eventsourcing_alchemy.dialects.base.stored_tables import StoredTables
from eventsourcing_alchemy.dialects.base.stored_values import StoredValues
from eventsourcing_alchemy.dialects.base.table_switch import TableSwitch
from eventsourcing_alchemy.dialects.base.transactions import Transactions
from eventsourcing_alchemy.dialects.base.upserts import Upserts


class BaseDialect(
    Connections,
    Errors,
    Transactions,
    DCBAppending,
    BulkInserting,
    Upserts,
    SideEffects,
    Announcements,
    TableSwitch,
    Diagnosis,
    StoredTables,
    StoredValues,
    GeneratedNumbers,
):
    """The steps in which databases differ, as any database can do them.

    A subclass overrides those that its database does better.
    """
