"""ORM sessions of events that share a transaction."""
