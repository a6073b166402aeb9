"""``python -m benchmarks.page FOLDER``: tables and charts of `results.json`."""

import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from benchmarks import reports, summary
from benchmarks.results import Results

ABOUT = ("begun", "python", "platform", "cores", "sizes")


def pages(document: Mapping[str, Any]) -> dict[str, str]:
    """The tables that the documentation includes, by the names of their files.

    Args:
        document: was written by `reports.as_json()`.
    """
    results = Results.from_document(document)
    about = "\n".join(f"- {name}: {document[name]}" for name in ABOUT)
    tables = [reports.facts, reports.details, reports.overview]
    raw = [reports.as_markdown(table(results)) for table in tables]
    return {
        "summary.md": reports.as_markdown(summary.table(results)) + "\n",
        "results.md": "\n\n".join([about, *raw]) + "\n",
    }


def write(folder: Path) -> None:
    """Writes them beside `results.json`, and charts."""
    from benchmarks import charts  # It needs matplotlib.

    document = json.loads((folder / "results.json").read_text())
    for name, text in pages(document).items():
        (folder / name).write_text(text)
    charts.write(Results.from_document(document), folder)


if __name__ == "__main__":
    write(Path(sys.argv[1]))
