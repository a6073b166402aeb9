"""Moving what is recorded into this package's tables, from elsewhere."""
