"""Pages of Markdown, whose blocks are run from the first to the last.

- A block that starts with the comment ``# NAME.EXT`` is written to that file.
- ``python`` is executed; all blocks of a page share one module.
- ``console`` is run by Bash: lines with ``$`` are commands, others are among what they
  print. An ``export`` is for all blocks that follow.
- Any other language is for the eyes.
- ``<!-- needs: ... -->`` on the line above names capabilities without which a block
  is left out. No backend has the capability ``network``.
"""

from __future__ import annotations

import importlib
import os
import re
import signal
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryFile
from typing import Any

ROOT = Path(__file__).parents[2]
PAGES = [
    ROOT / "README.md",
    *sorted((ROOT / "docs").glob("*.md")),
    *sorted((ROOT / "docs").glob("[!_]*/*.md")),
]
PATIENCE = 60.0
"""Seconds for the commands of a block."""

_BLOCK = re.compile(
    r"^(?:<!-- needs: (?P<needs>[\w, ]+) -->\n)?"
    r"^(?P<fence>```+)(?P<language>[\w{}-]+).*?\n(?P<text>.*?)^(?P=fence)$",
    re.MULTILINE | re.DOTALL,
)
_FILE = re.compile(r"# (\S+\.\w+)\n")
_EXPORT = re.compile(r"^\$ export (\w+)=(\S*)$", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block of a page."""

    page: Path
    line: int
    language: str
    text: str
    needs: frozenset[str]

    @property
    def file(self) -> str | None:
        """The name of the file that the block is the content of."""
        found = _FILE.match(self.text)
        return found and found[1]

    @property
    def runs(self) -> bool:
        """Whether the block is more than something to look at."""
        return self.file is not None or self.language in ("python", "console")

    def run(
        self, namespace: dict[str, Any], setenv: Callable[[str, str], None]
    ) -> None:
        """Do what the block says, in the current folder."""
        if self.file is not None:
            Path(self.file).parent.mkdir(parents=True, exist_ok=True)
            Path(self.file).write_text(self.text, encoding="utf-8")
            importlib.invalidate_caches()
        elif self.language == "python":
            source = "\n" * self.line + self.text  # For the lines of tracebacks.
            exec(compile(source, self.page, "exec"), namespace)  # noqa: S102
        else:
            for name, value in _EXPORT.findall(self.text):
                setenv(name, value)
            self._run_commands()

    def _run_commands(self) -> None:
        lines = self.text.splitlines()
        commands = [line[2:] for line in lines if line.startswith("$ ")]
        output = run_shell("\n".join(commands))
        for line in lines:
            assert line.startswith("$ ") or line in output, f"{line!r} in:\n{output}"


def run_shell(script: str) -> str:
    """Run a script up to its first failure; what it leaves running is killed."""
    with TemporaryFile("w+") as output:
        shell = subprocess.Popen(
            ["bash", "-euc", script],
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            status = shell.wait(PATIENCE)
        finally:
            with suppress(ProcessLookupError):
                os.killpg(shell.pid, signal.SIGKILL)
            shell.wait()
        output.seek(0)
        printed = output.read()
    assert status == 0, printed
    return printed


def blocks(page: Path) -> Iterator[Block]:
    """Yield the blocks of a page, in order."""
    text = page.read_text(encoding="utf-8")
    for found in _BLOCK.finditer(text):
        needs = frozenset(re.findall(r"\w+", found["needs"] or ""))
        line = text.count("\n", 0, found.start("text"))
        yield Block(page, line, found["language"], found["text"], needs)
