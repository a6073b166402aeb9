"""The figures of the documentation are those of the results beside them."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docs" / "explanation" / "performance"

WRITE = """
import json, sys
from pathlib import Path
from benchmarks.page import pages
document = json.loads((Path(sys.argv[1]) / "results.json").read_text())
json.dump(pages(document), sys.stdout)
"""


def test_tables_are_those_of_the_results() -> None:
    """`python -m benchmarks.page docs/explanation/performance` makes them."""
    command = [sys.executable, "-c", WRITE, str(FOLDER)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, check=True)

    for name, text in json.loads(ended.stdout).items():
        assert (FOLDER / name).read_text() == text, name
