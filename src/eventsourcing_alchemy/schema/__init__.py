"""The tables, their types, the names they can have, and their migrations."""
