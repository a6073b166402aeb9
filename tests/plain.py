"""PostgreSQL under a name that the package does not know: it gets the defaults."""

from __future__ import annotations

from types import MappingProxyType

from sqlalchemy.dialects import registry
from sqlalchemy.dialects.postgresql.psycopg import PGDialect_psycopg


class PlainDialect(PGDialect_psycopg):
    """Lacks what many databases, and their drivers, lack."""

    name = "plain"
    supports_statement_cache = True
    update_returning = False
    dbapi_exception_translation_map = MappingProxyType(
        {"IntegrityError": "DatabaseError"}
    )


registry.register("plain.psycopg", __name__, PlainDialect.__name__)
