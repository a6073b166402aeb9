"""``python -m benchmarks.scale``: measures what growth costs."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from benchmarks.contestants import OURS
from benchmarks.databases import Databases, PostgreSQL, SQLiteFiles
from benchmarks.jobs import Address
from benchmarks.reports import as_text
from benchmarks.run import ROOT
from benchmarks.scale import chart, reports
from benchmarks.scale.findings import Findings

KINDS = ("postgresql", "sqlite")
MEASURES = (
    "growth:measure",
    "sparse:measure",
    "memory:fill",
    "memory:follow",
    "memory:follow_large",
    "memory:project",
    "memory:project_large",
    "memory:trace",
)
"""On one database, one after the other."""

ALONE = {"postgresql": ("crowd:measure",), "sqlite": ()}
"""On a database of their own."""


def main() -> bool:
    """Measures and reports; returns whether all is well."""
    options = _options()
    found = Findings()
    about: dict[str, object] = {
        "begun": f"{datetime.now(UTC):%Y-%m-%d %H:%M} UTC",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
    }
    with tempfile.TemporaryDirectory() as folder:
        for kind in options.database or KINDS:
            with ExitStack() as stack:
                databases: Databases = (
                    SQLiteFiles(Path(folder)) if kind == "sqlite" else PostgreSQL()
                )
                stack.callback(databases.close)
                about[kind] = databases.facts()
                address = databases.empty("scale")
                for measure in MEASURES:
                    found.add(_work(measure, kind, address, options.events))
                for measure in ALONE[kind]:
                    address = databases.empty("alone")
                    found.add(_work(measure, kind, address, options.events))
    _report(found, about, options.out)
    return not found.failures and not (options.check and found.missed())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks.scale", description=__doc__)
    add = parser.add_argument
    add(
        "--events",
        type=int,
        default=1_000_000,
        help="at the end (default: %(default)s)",
    )
    add("--database", action="append", choices=KINDS)
    add("--out", type=Path, help="folder for a page, JSON and a chart")
    add("--check", action="store_true", help="fail if a limit is exceeded")
    return parser.parse_args()


def _work(measure: str, kind: str, address: Address, events: int) -> Findings:
    begun = monotonic()
    job = {
        "measure": measure,
        "kind": kind,
        "environment": OURS.environment(kind, address),
        "events": events,
    }
    ended = subprocess.run(
        [sys.executable, "-m", "benchmarks.scale.worker"],
        check=False,
        cwd=ROOT,
        input=json.dumps(job),
        stdout=subprocess.PIPE,
        text=True,
    )
    print(f"{kind}, {measure}: {monotonic() - begun:.0f} s", flush=True)
    if ended.returncode:
        return Findings(failures=[f"{kind}, {measure}"])
    return Findings.from_json(ended.stdout)


def _report(found: Findings, about: dict[str, object], out: Path | None) -> None:
    for table in reports.growth(found), reports.others(found):
        print("", as_text(table), sep="\n")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "scale.json").write_text(found.to_json(**about))
        (out / "scale.md").write_text(reports.as_page(found, about))
        chart.write(found, out / "scale.svg")


if __name__ == "__main__":
    sys.exit(not main())
