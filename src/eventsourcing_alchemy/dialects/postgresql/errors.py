"""What the errors of PostgreSQL mean."""

import re

from eventsourcing_alchemy.dialects.base.errors import CONNECTION_ERRORS, Errors
from eventsourcing_alchemy.errors import sqlstate_of
from eventsourcing_alchemy.resilience.error_classification import ErrorKind

_PROGRAM_LIMIT_EXCEEDED = "54000"
_FEATURE_NOT_SUPPORTED = "0A000"
_UNDEFINED_FUNCTION = "42883"

_KINDS = {
    "55P03": ErrorKind.CONFLICT,  # lock_not_available
    "57014": ErrorKind.CANCELLED,  # query_canceled
    "57P01": ErrorKind.OUTAGE,  # admin_shutdown
    "57P02": ErrorKind.OUTAGE,  # crash_shutdown
    "57P03": ErrorKind.OUTAGE,  # cannot_connect_now
    "57P05": ErrorKind.OUTAGE,  # idle_session_timeout
    "25006": ErrorKind.OUTAGE,  # read_only_sql_transaction: of a former primary
    "25P03": ErrorKind.OUTAGE,  # idle_in_transaction_session_timeout
    "25P04": ErrorKind.OUTAGE,  # transaction_timeout
    # Of class 42, those that depend on the types of the parameters, thus on one event.
    "42725": ErrorKind.LASTING,  # ambiguous_function
    "42804": ErrorKind.LASTING,  # datatype_mismatch
    "42846": ErrorKind.LASTING,  # cannot_coerce
    "42P08": ErrorKind.LASTING,  # ambiguous_parameter
    "42P18": ErrorKind.LASTING,  # indeterminate_datatype
}


_ATTEMPT = re.compile(r"^- host: ('[^']*'|\S*), (.*)$", re.MULTILINE)
"""How psycopg tells of several attempts to connect."""


_REFUSED = re.compile(
    r"authentication failed|no password supplied|no pg_hba\.conf entry"
    r'|pg_hba\.conf rejects|(role|database) ".*" does not exist'
    r"|is not permitted to log in|permission denied for database"
    r"|certificate verify failed|server does not support SSL"
    r"|unrecognized configuration parameter"
    r"|invalid connection option|invalid \w+ value: |invalid value for parameter"
)
"""What a server, or libpq, says to those whom it will not let in, or whose options it
does not know. There is no code for it, because libpq keeps that of a failed connection
to itself."""


class PostgreSQLErrors(Errors):
    """By SQLSTATE; by text where a connection was refused."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """By SQLSTATE, which lost and refused connections do not have."""
        state = sqlstate_of(error)
        if state is None:
            return _kind_of_connection_error(error)
        if state == _PROGRAM_LIMIT_EXCEEDED and "NOTIFY" in str(error):
            return (
                ErrorKind.CONFLICT
            )  # The next try does without, while the queue is full.
        if state == _FEATURE_NOT_SUPPORTED and is_of_stale_plan(error):
            return ErrorKind.CONFLICT  # The next try prepares it anew.
        if state == _UNDEFINED_FUNCTION and is_of_operator(error):
            return ErrorKind.LASTING  # A function may be missing; operators are not.
        return _KINDS.get(state) or super().error_kind(error)


def is_of_stale_plan(error: BaseException) -> bool:
    """Whether somebody altered a table of a prepared statement."""
    return _is_of_function(error, "RevalidateCachedQuery")


def is_of_operator(error: BaseException) -> bool:
    """Whether there is no operator for operands of such types."""
    return _is_of_function(error, "op_error")


def _is_of_function(error: BaseException, name: str) -> bool:
    """Whether a function of the server says so: the text depends on `lc_messages`."""
    function = getattr(getattr(error, "diag", None), "source_function", None)
    return name in (function or str(error))  # The text of pg8000.


def _kind_of_connection_error(error: BaseException) -> ErrorKind:
    if type(error).__name__ not in CONNECTION_ERRORS:
        return ErrorKind.LASTING
    # Of several hosts, each has to refuse; of a host's addresses, one.
    by_host: dict[str, bool] = {}
    for host, attempt in _ATTEMPT.findall(str(error)) or [("", str(error))]:
        by_host[host] = by_host.get(host, False) or bool(_REFUSED.search(attempt))
    is_refused = all(by_host.values())
    return ErrorKind.REFUSED if is_refused else ErrorKind.OUTAGE
