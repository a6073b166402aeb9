"""What PostgreSQL does differently."""
