"""The ways in which users write a view; the docs show each beside what it does."""

from sqlalchemy import Column, Integer, MetaData, String, Table

from benchmarks.peers import TABLE

metadata = MetaData()
counts = Table(
    TABLE,
    metadata,
    Column("name", String(40), primary_key=True),
    Column("value", Integer, nullable=False),
)
