"""Read the commits of a git repository from the ``git`` program.

What counts:

- A merge is a commit without changes: its lines count in the commits it merges.
- A file that was renamed counts the lines that changed, under its new path.
- A binary file counts no lines.
- Authors are those of ``.mailmap``; dates are the authors', in UTC.
"""

import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO, cast
from unicodedata import normalize

from git_history.domain import Commit, FileChange

# "12\t3\tpath"; "-\t-\tpath" is a binary file. Before the first of a commit git
# writes a newline.
NUMSTAT = re.compile(rb"\n?(\d+|-)\t(\d+|-)\t(.*)", re.DOTALL)
SHORTSTAT = re.compile(rb"(\d+) (insertion|deletion)")
DIFF = ("diff-tree", "--stdin", "--root", "-r", "-M", "--no-ext-diff", "--no-textconv")
LAST_SECOND = int(datetime(9999, 12, 31, tzinfo=UTC).timestamp())
CHUNK = 1 << 16


class GitError(Exception):
    """A repository cannot be read; the message says why."""


class GitRepository:
    """The commits that are reached from where a repository stands (its ``HEAD``).

    Args:
        path: The repository, or a folder in it.

    Raises:
        GitError: There is no ``git``, no repository, or no commit in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._run("rev-parse", "--git-dir")
        if not self._run("rev-parse", "--verify", "--quiet", "HEAD", check=False):
            raise GitError(f"{path}: no commits yet on the current branch")
        shallow = self._run("rev-parse", "--is-shallow-repository")
        self.is_shallow = shallow.strip() == b"true"

    def hashes(self) -> list[str]:
        """Return the hashes of all commits, parents before their children."""
        listed = self._run("rev-list", "--reverse", "--topo-order", "HEAD")
        return listed.decode("ascii").split()

    def commits(self, hashes: Sequence[str]) -> Iterator[Commit]:
        """Yield the commits that have these hashes, in this order, as git reads them.

        Raises:
            GitError: git failed underway.
        """
        header = "--format=%H%x00%at%x00%aN"
        command = (*DIFF, "--numstat", "-z", "--always", "--encoding=UTF-8", header)
        last = None
        with self._stream(command, hashes) as output:
            for commit in _parse(_fields(output)):
                if last is not None:
                    yield last
                last = commit
        if last is not None:  # Complete, now that git is known not to have failed.
            yield last

    def lines(self, hashes: Sequence[str]) -> tuple[int, int]:
        """Return the lines added and removed in these commits, as git sums them up."""
        numbers = {b"insertion": 0, b"deletion": 0}
        with self._stream((*DIFF, "--shortstat"), hashes) as output:
            for line in output:
                for number, what in SHORTSTAT.findall(line):
                    numbers[what] += int(number)
        return numbers[b"insertion"], numbers[b"deletion"]

    def _run(self, *arguments: str, check: bool = True) -> bytes:
        with _git_required():
            done = subprocess.run(
                self._command(arguments),
                env=_environment(),
                capture_output=True,
                check=False,
            )
        if check:
            self._check(done.returncode, done.stderr)
        return done.stdout

    @contextmanager
    def _stream(
        self, arguments: Sequence[str], hashes: Sequence[str]
    ) -> Iterator[IO[bytes]]:
        # Files, for pipes to two ends would need a thread, or deadlock.
        with TemporaryFile() as asked, TemporaryFile() as errors:
            asked.writelines(f"{sha}\n".encode("ascii") for sha in hashes)
            asked.seek(0)
            with _git_required():
                process = subprocess.Popen(
                    self._command(arguments),
                    env=_environment(),
                    stdin=asked,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                )
            with process:
                yield cast("IO[bytes]", process.stdout)
            errors.seek(0)
            self._check(process.returncode, errors.read())

    def _command(self, arguments: Sequence[str]) -> list[str]:
        return ["git", "-C", str(self.path), *arguments]

    def _check(self, returncode: int, message: bytes) -> None:
        if returncode:
            text = message.decode("utf-8", "replace").strip()
            raise GitError(text.removeprefix("fatal: ") or f"git exited {returncode}")


@contextmanager
def _git_required() -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise GitError("the program git is not installed, or not on the PATH") from None


def _environment() -> dict[str, str]:
    # A git hook's GIT_DIR would win over the path that was asked for.
    ours = {"GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE"}
    return {k: v for k, v in os.environ.items() if k not in ours} | {"LC_ALL": "C"}


def _fields(output: IO[bytes]) -> Iterator[bytes]:
    rest = b""
    while chunk := output.read(CHUNK):
        *complete, rest = (rest + chunk).split(b"\0")
        yield from complete


def _parse(fields: Iterator[bytes]) -> Iterator[Commit]:
    sha = next(fields, b"")
    while sha:
        seconds, author = next(fields, b""), next(fields, b"")
        changes, following = _changes(fields)
        yield Commit(
            sha=sha.decode("ascii"),
            author=normalize("NFC", _text(author)) or "(nobody)",
            authored_at=_date(seconds),
            changes=changes,
        )
        sha = following


def _changes(fields: Iterator[bytes]) -> tuple[list[FileChange], bytes]:
    """Return the changes of a commit, and the hash of the next one."""
    changes: list[FileChange] = []
    for field in fields:
        numbers = NUMSTAT.fullmatch(field)
        if numbers is None:
            return changes, field
        added, removed, path = numbers.groups()
        if not path:  # A rename: the old path and the new one follow.
            _, path = next(fields, b""), next(fields, b"")
        changes.append(FileChange(_text(path), _lines(added), _lines(removed)))
    return changes, b""


def _lines(number: bytes) -> int:
    return 0 if number == b"-" else int(number)


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


def _date(seconds: bytes) -> datetime:
    """Return the date, within what Python knows; 1970 where git cannot read it."""
    digits = seconds.removeprefix(b"-").isdigit()
    return datetime.fromtimestamp(min(int(seconds), LAST_SECOND) if digits else 0, UTC)
