"""Alembic's commands on our migrations, without a configuration file."""

import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import as_file, files
from io import StringIO
from typing import TYPE_CHECKING, Any

from eventsourcing_alchemy.host import ProgrammingError

if TYPE_CHECKING:
    from alembic.config import Config

# Alembic keeps the context of the running migration in module globals.
_alembic = threading.Lock()


def _renew_lock() -> None:
    global _alembic
    _alembic = threading.Lock()


os.register_at_fork(after_in_child=_renew_lock)


@contextmanager
def configured(output: StringIO | None = None, **attributes: Any) -> Iterator["Config"]:
    """Alembic's configuration for a command, one at a time in this process.

    Args:
        output: takes the SQL of a script.
        **attributes: `connection` and `schema`, for our environment.

    Raises:
        ProgrammingError: says what Alembic refuses.
    """
    # Alembic takes longer to import than all the rest, and most processes migrate
    # nothing.
    from alembic.config import Config
    from alembic.util import CommandError

    with as_file(files("eventsourcing_alchemy.migrations")) as scripts, _alembic:
        # What it would print is for its own command line.
        config = Config(attributes=attributes, stdout=StringIO(), output_buffer=output)
        config.set_main_option("script_location", str(scripts).replace("%", "%%"))
        try:
            yield config
        except CommandError as error:
            raise ProgrammingError(f"Cannot migrate the database: {error}") from error
