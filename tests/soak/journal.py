"""What processes were told, on disk."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple
from uuid import UUID


class Entry(NamedTuple):
    """An acknowledgement: so many events of an account, from a version and position."""

    position: int
    events: int
    version: int
    account_id: UUID


class Journal:
    """What a process was told. It survives the process.

    Args:
        path: of the file, which need not be there.
    """

    def __init__(self, path: Path) -> None:
        self.path = path

    def add(self, entry: Entry) -> None:
        line = " ".join(map(str, entry)) + "\n"
        number = os.open(self.path, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
        try:
            # At once, so that no kill leaves a part of it.
            os.write(number, line.encode())
        finally:
            os.close(number)

    def __iter__(self) -> Iterator[Entry]:
        if self.path.exists():
            with self.path.open() as lines:
                yield from map(_entry, lines)

    def last(self) -> Entry | None:
        """The last entry, None if there is none."""
        if not self.path.exists():
            return None
        with self.path.open("rb") as lines:
            lines.seek(max(0, self.path.stat().st_size - 200))
            *_, line = lines.read().decode().splitlines()
        return _entry(line)


class Journals:
    """What everybody was told.

    Args:
        folder: where they are.
        writers: number of those who write to the bank.
        clerks: number of those who book in the theatre.
    """

    def __init__(self, folder: Path, writers: int, clerks: int) -> None:
        self.writers = [Journal(folder / f"writer{each}") for each in range(writers)]
        self.clerks = [Journal(folder / f"clerk{each}") for each in range(clerks)]
        self.followed = Journal(folder / "followed")

    def written(self) -> list[Entry]:
        """What was acknowledged to the writers."""
        return [entry for journal in self.writers for entry in journal]

    def booked(self) -> list[Entry]:
        """What was acknowledged to the clerks."""
        return [entry for journal in self.clerks for entry in journal]


def _entry(line: str) -> Entry:
    position, events, version, account_id = line.split()
    return Entry(int(position), int(events), int(version), UUID(account_id))
