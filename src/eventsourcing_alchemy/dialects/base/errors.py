"""What the errors of a database mean."""

import re

from eventsourcing_alchemy.errors import sqlstate_of
from eventsourcing_alchemy.resilience.error_classification import ErrorKind

_KINDS = {
    "40002": ErrorKind.LASTING,  # integrity constraint violation
    "40003": ErrorKind.OUTAGE,  # statement completion unknown
    "40004": ErrorKind.LASTING,  # triggered action exception
}

_KINDS_BY_CLASS = {
    "08": ErrorKind.OUTAGE,  # connection exception
    "28": ErrorKind.REFUSED,  # invalid authorization specification
    "3D": ErrorKind.REFUSED,  # invalid catalog name
    "3F": ErrorKind.REFUSED,  # invalid schema name
    "40": ErrorKind.CONFLICT,  # transaction rollback
    "42": ErrorKind.REFUSED,  # syntax error or access rule violation
    "53": ErrorKind.SHORTAGE,  # insufficient resources
}

CONNECTION_ERRORS = {"OperationalError", "InterfaceError", "ConnectionTimeout"}
"""What drivers call errors that are about a connection, if they have no SQLSTATE."""


_OURS = re.compile(r"es_|\bprimary\b", re.IGNORECASE)
"""Names of keys of our tables, which databases tell."""


class Errors:
    """What the errors of a database mean."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """What an error of the driver means, by its SQLSTATE.

        Beside what is told here, SQLAlchemy knows that some mean a lost connection.
        """
        state = sqlstate_of(error)
        if state is None:
            is_about_connection = type(error).__name__ in CONNECTION_ERRORS
            return ErrorKind.OUTAGE if is_about_connection else ErrorKind.LASTING
        return _KINDS.get(state, _KINDS_BY_CLASS.get(state[:2], ErrorKind.LASTING))

    def is_duplicate(self, error: BaseException | None) -> bool:
        """Whether an error may be about a key of ours that is stored already.

        Args:
            error: the driver's, about a constraint; None if we have found out.
        """
        if error is None:
            return True
        return self.is_about_key(error) and _OURS.search(str(error)) is not None

    def is_about_key(self, error: BaseException) -> bool:
        """Whether an error about a constraint may be about a key.

        Args:
            error: the driver's.
        """
        return sqlstate_of(error) in {None, "23000", "23505"}

    def error_kind_of_statement(self, error: BaseException) -> ErrorKind:
        """The same, of an error that a statement has met.

        Without SQLSTATE, it is the client's own, or the connection is lost. That it is
        lost SQLAlchemy knows. If not, the same statement will fail again: too many
        parameters, say.
        """
        return (
            ErrorKind.LASTING if sqlstate_of(error) is None else self.error_kind(error)
        )
