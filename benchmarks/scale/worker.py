"""``python -m benchmarks.scale.worker``: measures one thing, in its own process."""

import json
import sys
from collections.abc import Callable
from importlib import import_module

from benchmarks.durability import make_full_the_default
from benchmarks.scale.findings import Findings


def main() -> None:
    """Reads what to measure, and writes what was found."""
    job = json.load(sys.stdin)
    if job["kind"] == "sqlite":
        make_full_the_default()
    # Nothing else is imported: some measure memory.
    module, _, name = job["measure"].partition(":")
    measure: Callable[..., Findings] = getattr(
        import_module(f"benchmarks.scale.{module}"), name
    )
    found = measure(job["kind"], job["environment"], job["events"])
    sys.stdout.write(found.to_json())


if __name__ == "__main__":
    main()
