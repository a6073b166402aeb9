"""What the errors of MySQL and MariaDB mean."""

from eventsourcing_alchemy.dialects.base.errors import Errors
from eventsourcing_alchemy.resilience.error_classification import ErrorKind

ER_LOCK_DEADLOCK = 1213


_KINDS: dict[int | None, ErrorKind] = {
    ER_LOCK_DEADLOCK: ErrorKind.CONFLICT,  # Of Galera: certification, too.
    1020: ErrorKind.CONFLICT,  # ER_CHECKREAD: the row has changed
    1205: ErrorKind.CONFLICT,  # ER_LOCK_WAIT_TIMEOUT
    1412: ErrorKind.CONFLICT,  # ER_TABLE_DEF_CHANGED: please retry transaction
    1684: ErrorKind.CONFLICT,  # ER_WARN_I_S_SKIPPED_TABLE: it is being created
    1317: ErrorKind.CANCELLED,  # ER_QUERY_INTERRUPTED
    1969: ErrorKind.CANCELLED,  # ER_STATEMENT_TIMEOUT of MariaDB
    3024: ErrorKind.CANCELLED,  # ER_QUERY_TIMEOUT of MySQL
    1021: ErrorKind.SHORTAGE,  # ER_DISK_FULL
    1040: ErrorKind.SHORTAGE,  # ER_CON_COUNT_ERROR
    1041: ErrorKind.SHORTAGE,  # ER_OUT_OF_RESOURCES
    1114: ErrorKind.SHORTAGE,  # ER_RECORD_FILE_FULL
    1203: ErrorKind.SHORTAGE,  # ER_TOO_MANY_USER_CONNECTIONS
    1047: ErrorKind.OUTAGE,  # ER_UNKNOWN_COM_ERROR: a Galera node without its cluster
    1053: ErrorKind.OUTAGE,  # ER_SERVER_SHUTDOWN
    1080: ErrorKind.OUTAGE,  # ER_FORCING_CLOSE
    1152: ErrorKind.OUTAGE,  # ER_ABORTING_CONNECTION
    1158: ErrorKind.OUTAGE,  # ER_NET_READ_ERROR
    1159: ErrorKind.OUTAGE,  # ER_NET_READ_INTERRUPTED
    1160: ErrorKind.OUTAGE,  # ER_NET_ERROR_ON_WRITE
    1161: ErrorKind.OUTAGE,  # ER_NET_WRITE_INTERRUPTED
    1180: ErrorKind.OUTAGE,  # ER_ERROR_DURING_COMMIT: Galera lost its cluster
    1290: ErrorKind.OUTAGE,  # ER_OPTION_PREVENTS_STATEMENT: a former primary
    1927: ErrorKind.OUTAGE,  # ER_CONNECTION_KILLED
    2002: ErrorKind.OUTAGE,  # CR_CONNECTION_ERROR
    2003: ErrorKind.OUTAGE,  # CR_CONN_HOST_ERROR
    2005: ErrorKind.OUTAGE,  # CR_UNKNOWN_HOST
    2006: ErrorKind.OUTAGE,  # CR_SERVER_GONE_ERROR
    2013: ErrorKind.OUTAGE,  # CR_SERVER_LOST
    1044: ErrorKind.REFUSED,  # ER_DBACCESS_DENIED_ERROR
    1045: ErrorKind.REFUSED,  # ER_ACCESS_DENIED_ERROR
    1049: ErrorKind.REFUSED,  # ER_BAD_DB_ERROR
    1054: ErrorKind.REFUSED,  # ER_BAD_FIELD_ERROR
    1130: ErrorKind.REFUSED,  # ER_HOST_NOT_PRIVILEGED
    1142: ErrorKind.REFUSED,  # ER_TABLEACCESS_DENIED_ERROR
    1143: ErrorKind.REFUSED,  # ER_COLUMNACCESS_DENIED_ERROR
    1146: ErrorKind.REFUSED,  # ER_NO_SUCH_TABLE
    1251: ErrorKind.REFUSED,  # ER_NOT_SUPPORTED_AUTH_MODE
    1370: ErrorKind.REFUSED,  # ER_PROCACCESS_DENIED_ERROR
    1698: ErrorKind.REFUSED,  # ER_ACCESS_DENIED_NO_PASSWORD_ERROR
}


_DUPLICATES = {1062, 1586}  # ER_DUP_ENTRY, ER_DUP_ENTRY_WITH_KEY_NAME


class MySQLErrors(Errors):
    """By the number of the error."""

    def error_kind(self, error: BaseException) -> ErrorKind:
        """By the number of the error."""
        return _KINDS.get(number_of(error), ErrorKind.LASTING)

    def error_kind_of_statement(self, error: BaseException) -> ErrorKind:
        """The same, of an error that a statement has met."""
        return self.error_kind(error)

    def is_about_key(self, error: BaseException) -> bool:
        """By the number of the error."""
        return number_of(error) in {None, *_DUPLICATES}


def number_of(error: BaseException) -> int | None:
    """The number of an error, as the driver tells it."""
    first = error.args[0] if error.args else None
    number = getattr(error, "errno", first)  # Of MariaDB's Connector, and the others.
    return number if isinstance(number, int) else None
