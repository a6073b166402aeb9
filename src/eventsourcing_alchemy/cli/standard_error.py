"""Standard error, whose reader may have gone."""

import os
import sys
from io import TextIOWrapper

from eventsourcing_alchemy.cli.standard_output import buffered


class StandardError(TextIOWrapper):
    """Drops what cannot be written: what a command does is not to end for that."""

    def write(self, text: str, /) -> int:
        """Writes a text, if anybody can read it."""
        try:
            return super().write(text)
        except OSError:
            self._give_up()
            return len(text)

    def flush(self) -> None:
        """Writes what waits, if anybody can read it."""
        try:
            super().flush()
        except OSError:
            self._give_up()

    def _give_up(self) -> None:
        # Python writes at the end what waits. Failing, it would set its own exit code.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, self.fileno())
        os.close(nowhere)


def drop_lost_messages() -> None:
    """Has no command fail because its messages cannot be written."""
    # None, where the process began without one.
    given: TextIOWrapper | None = sys.stderr  # type: ignore[assignment]
    if given is not None:
        sys.stderr = StandardError(
            buffered(given.buffer),
            encoding=given.encoding,
            errors=given.errors,
            line_buffering=True,
        )
