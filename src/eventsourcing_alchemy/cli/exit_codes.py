"""What the exit codes of all commands mean."""

from enum import IntEnum


class ExitCode(IntEnum):
    """The exit codes of all commands."""

    FINE = 0
    """It did what it was asked for, and there is nothing to look after."""

    FOUND = 1
    """It found something to look after."""

    WRONG_USE = 2
    """An option, name, variable, file or stored value is wrong, or something is not
    installed."""

    UNREACHABLE = 3
    """The database cannot be reached, refuses, or lacks the tables: it may come."""

    UNWRITABLE = 4
    """Standard output is closed or full, or its reader has gone."""

    REFUSED = 5
    """The command does not do it, as things are: a person has to do something first."""
