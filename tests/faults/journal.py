"""Notes of processes that may be killed at any moment."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path


class Journal:
    """Lines in a file, to which any number of processes add.

    What `note()` has returned from is there, even if the process is killed then.

    Args:
        path: of the file.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def note(self, *words: object) -> None:
        """Add a line."""
        line = " ".join(map(str, words)) + "\n"
        descriptor = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            os.write(descriptor, line.encode())
        finally:
            os.close(descriptor)

    def __iter__(self) -> Iterator[list[str]]:
        """The words of each line."""
        if self.path.exists():
            yield from (line.split() for line in self.path.read_text().splitlines())
