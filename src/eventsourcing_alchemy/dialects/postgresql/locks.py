"""Advisory locks, and the channel of notifications."""

from functools import lru_cache
from hashlib import blake2b

CHANNEL = "eventsourcing_alchemy"


@lru_cache(maxsize=1000)
def lock_key(name: str) -> int:
    """An advisory lock for a name. A collision makes two names share a queue."""
    digest = blake2b(name.encode(), digest_size=8).digest()
    return int.from_bytes(digest, signed=True)
