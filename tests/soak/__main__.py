"""``python -m soak``: many events, several projections, faults throughout."""

from __future__ import annotations

import argparse
import secrets
import subprocess
import sys

from faults.report import summary
from soak.databases import DATABASES
from soak.run import Run

SHORT = 6_000
"""Events, in CI."""


def main() -> bool:
    parser = argparse.ArgumentParser(prog="soak", description=__doc__)
    add = parser.add_argument
    add("--events", type=int, default=1_000_000, help="default: %(default)s")
    add("--short", action="store_true", help=f"{SHORT} events, as in CI")
    add("--on", choices=DATABASES, help="a database; default: one after the other")
    add("--seed", type=int, default=secrets.randbelow(10**6), help="of the faults")
    options = parser.parse_args()
    if options.on is None:
        # Each in a process of its own, which counts its own faults.
        again = [sys.executable, "-m", "soak", *sys.argv[1:]]
        ended = [
            subprocess.run([*again, "--on", name], check=False) for name in DATABASES
        ]
        return not any(each.returncode for each in ended)
    return soak(options.on, SHORT if options.short else options.events, options.seed)


def soak(name: str, events: int, seed: int) -> bool:
    """One soak, with its verdict."""
    print(f"{events} events on {name}, seed {seed}", flush=True)
    findings = Run(DATABASES[name](), events, seed).findings()
    passes = all(each.is_right for each in findings)
    print("", *findings, *(f"  {line}" for line in summary()), sep="\n")
    print("PASS" if passes else f"FAIL (again with --seed {seed})", flush=True)
    return passes


if __name__ == "__main__":
    sys.exit(not main())
