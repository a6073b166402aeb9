"""A database: engines, connections, and transactions that recorders join."""
