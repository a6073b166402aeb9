"""``python -m benchmarks.scale``: measures what growth costs."""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from contextlib import ExitStack
from datetime import UTC, datetime
from pathlib import Path
from time import monotonic

from benchmarks.contestants import OURS
from benchmarks.databases import Databases, MariaDB, PostgreSQL, SQLiteFiles
from benchmarks.jobs import Address
from benchmarks.reports import as_text
from benchmarks.run import ROOT
from benchmarks.scale import chart, reports
from benchmarks.scale.findings import Findings

_TOGETHER = (
    "growth:measure",
    "sparse:measure",
    "memory:fill",
    "memory:follow",
    "memory:follow_large",
    "memory:project",
    "memory:project_large",
    "memory:trace",
)
MEASURES = {"postgresql": _TOGETHER, "sqlite": _TOGETHER, "mariadb": ()}
"""On one database, one after the other."""

TAGGED = "tagged:measure"
ALONE = {
    "postgresql": (TAGGED, "crowd:measure", "moving:measure"),
    "sqlite": (TAGGED, "moving:measure"),
    "mariadb": (TAGGED,),
}
"""On a database of their own."""

SERVERS = {"postgresql": PostgreSQL, "mariadb": MariaDB}


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
        for kind in options.database or MEASURES:
            with ExitStack() as stack:
                databases: Databases = (
                    SERVERS[kind]() if kind in SERVERS else SQLiteFiles(Path(folder))
                )
                stack.callback(databases.close)
                about[kind] = databases.facts()
                address = databases.empty("scale")
                for measure in _asked(MEASURES[kind], options.tags):
                    found.add(_work(measure, kind, address, options.events))
                for measure in _asked(ALONE[kind], options.tags):
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
    add("--database", action="append", choices=MEASURES)
    add("--tags", action="store_true", help="measure events with tags alone")
    add("--out", type=Path, help="folder for a page, JSON and a chart")
    add("--check", action="store_true", help="fail if a limit is exceeded")
    return parser.parse_args()


def _asked(measures: Sequence[str], is_tags: bool) -> list[str]:
    return [each for each in measures if each == TAGGED or not is_tags]


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
    grown = [reports.growth(found, part) for part in reports.GROWTH]
    for table in (*grown, reports.others(found)):
        print("", as_text(table), sep="\n")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "scale.json").write_text(found.to_json(**about))
        (out / "scale.md").write_text(reports.as_page(found, about))
        if found.of("growth"):
            chart.write(found, out / "scale.svg")


if __name__ == "__main__":
    sys.exit(not main())
