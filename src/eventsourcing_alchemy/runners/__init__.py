"""Runners of projections: workers, batches, leases, dead letters, health."""
