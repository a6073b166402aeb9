"""What works on every database that SQLAlchemy speaks, by concern."""

from eventsourcing_alchemy.dialects.base.appending import Application, Taken
from eventsourcing_alchemy.dialects.base.connections import Options
from eventsourcing_alchemy.dialects.base.dcb_appending import Condition
from eventsourcing_alchemy.dialects.base.dialect import BaseDialect
from eventsourcing_alchemy.dialects.base.listening import Listening

__all__ = ["Application", "BaseDialect", "Condition", "Listening", "Options", "Taken"]
