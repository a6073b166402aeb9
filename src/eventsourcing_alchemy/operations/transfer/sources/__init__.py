"""Where the tables of a persistence module are, and what is in their columns."""
