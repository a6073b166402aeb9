"""Whether a table is there."""

from sqlalchemy import Table, inspect

from eventsourcing_alchemy.database.datastore import SQLAlchemyDatastore


def has_table(datastore: SQLAlchemyDatastore, table: Table) -> bool:
    """Whether a table is there, in the schema of the datastore."""

    def look() -> bool:
        with datastore.reading() as connection, datastore.answering(connection):
            schema = datastore.schema
            return inspect(connection).has_table(table.name, schema)

    return datastore.retrying(look)
