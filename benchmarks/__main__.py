"""``python -m benchmarks``: compares this package with its peers."""

import argparse
import os
import platform
import sys
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

from benchmarks import loans, page, reports, sizes
from benchmarks.cases import CASES, Case
from benchmarks.contestants import CONTESTANTS, DRIVERS, Contestant
from benchmarks.databases import Databases, MariaDB, PostgreSQL, SQLiteFiles
from benchmarks.results import Results
from benchmarks.run import Run
from benchmarks.sizes import Sizes


def main() -> bool:
    """Measures and reports; returns whether all is well."""
    options = _options()
    begun = datetime.now(UTC)
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        databases: dict[str, Databases] = {}
        for kind in options.database or DRIVERS:
            databases[kind] = _databases(kind, folder)
            stack.callback(databases[kind].close)
        run = Run(
            _cases(options),
            _contestants(options),
            databases,
            _sizes(options),
            old_python=options.peer_python,
            events=_events(options, folder),
        )
        results = run()
    about = {
        "begun": f"{begun:%Y-%m-%d %H:%M} UTC",
        "python": platform.python_version(),
        "platform": platform.platform(),
        "cores": os.cpu_count(),
        "sizes": str(run.sizes),
    }
    _report(results, about, options.out)
    return not results.failures and not (options.check and results.missed())


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    add = parser.add_argument
    size = parser.add_mutually_exclusive_group()
    size.add_argument("--full", action="store_true", help="takes about an hour")
    size.add_argument("--smoke", action="store_true", help="only whether it works")
    names = [case.name for case in CASES]
    listed = f"one or more of: {', '.join(names)}"
    add("--case", action="append", choices=names, metavar="NAME", help=listed)
    add("--database", action="append", choices=list(DRIVERS))
    add("--contestant", action="append", choices=[each.name for each in CONTESTANTS])
    add("--rounds", type=int, help="measurements of each contestant in each case")
    add("--out", type=Path, help="folder for tables, JSON and charts")
    add("--events", type=Path, help="path of bpic2012.xes.gz, for real events")
    add(
        "--peer-python",
        default="",
        help="the interpreter of an environment with eventsourcing-sqlalchemy",
    )
    add("--check", action="store_true", help="fail if a target is missed")
    return parser.parse_args()


def _databases(kind: str, folder: Path) -> Databases:
    if kind == "sqlite":
        return SQLiteFiles(folder)
    return PostgreSQL() if kind == "postgresql" else MariaDB()


def _cases(options: argparse.Namespace) -> Sequence[Case]:
    wanted = [case for case in CASES if case.name in (options.case or [case.name])]
    return [case for case in wanted if options.events or not case.needs_events]


def _contestants(options: argparse.Namespace) -> Sequence[Contestant]:
    wanted = options.contestant or [each.name for each in CONTESTANTS]
    return [
        each
        for each in CONTESTANTS
        if each.name in wanted and (options.peer_python or not each.is_old)
    ]


def _sizes(options: argparse.Namespace) -> Sizes:
    found = sizes.SHORT
    if options.full:
        found = sizes.FULL
    elif options.smoke:
        found = sizes.SMOKE
    return replace(found, rounds=options.rounds or found.rounds)


def _events(options: argparse.Namespace, folder: Path) -> str:
    if not options.events:
        return ""
    prepared = folder / "loans.jsonl"
    count = loans.prepare(options.events, prepared)
    print(f"{count} real events", flush=True)
    return str(prepared)


def _report(results: Results, about: Mapping[str, object], out: Path | None) -> None:
    tables = [table(results) for table in (reports.facts, reports.details)]
    tables.append(reports.overview(results))
    print("", *(f"{name}: {value}" for name, value in about.items()), sep="\n")
    for table in tables:
        print("", reports.as_text(table), sep="\n")
    if out is not None:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.json").write_text(reports.as_json(results, about))
        page.write(out)


if __name__ == "__main__":
    sys.exit(not main())
