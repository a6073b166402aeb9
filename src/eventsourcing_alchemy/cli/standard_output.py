"""Standard output, which may be closed, full, or of an encoding with few characters."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from io import BufferedWriter, RawIOBase, TextIOWrapper
from typing import Any, BinaryIO

from eventsourcing_alchemy.cli.exit_codes import ExitCode


class UnwritableError(Exception):
    """Standard output cannot be written to; the cause says why."""


class StandardOutput(TextIOWrapper):
    """Escapes what the encoding lacks, and tells its own failures from others."""

    def write(self, text: str, /) -> int:
        """Writes a text.

        Raises:
            UnwritableError: if it cannot be written.
        """
        with _its_own_failures():
            return super().write(text)

    def flush(self) -> None:
        """Writes what waits.

        Raises:
            UnwritableError: if it cannot be written.
        """
        with _its_own_failures():
            super().flush()


@contextmanager
def whole_output() -> Iterator[None]:
    """Ends the process with an exit code of its own if output of the block is lost."""
    sys.stdout = output = _opened()
    try:
        try:
            yield
        finally:
            output.flush()
    except UnwritableError as error:
        # Or Python would complain itself, when it writes at the end what waits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), output.fileno())
        if not isinstance(error.__cause__, BrokenPipeError):
            _tell(f"Error: cannot write to standard output: {error.__cause__}")
        sys.exit(ExitCode.UNWRITABLE)


@contextmanager
def _its_own_failures() -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise UnwritableError from error


def _opened() -> StandardOutput:
    # None, where the process began without one.
    given: TextIOWrapper | None = sys.stdout  # type: ignore[assignment]
    return StandardOutput(
        _refusing() if given is None else buffered(given.buffer),
        encoding=None if given is None else given.encoding,
        errors="backslashreplace",
        line_buffering=given is not None and given.line_buffering,
    )


def buffered(binary: Any) -> Any:
    """What is below a text file, with a buffer."""
    # With PYTHONUNBUFFERED, nobody else would write the rest of what is written partly.
    return BufferedWriter(binary) if isinstance(binary, RawIOBase) else binary


def _refusing() -> BinaryIO:
    """What fails as a closed file does, so that no other file is taken for it."""
    return os.fdopen(os.open(os.devnull, os.O_RDONLY), "wb")


def _tell(message: str) -> None:
    if sys.stderr is not None:  # Closed, too.
        sys.stderr.write(f"{message}\n")
