"""The names of attributes, of OpenTelemetry's conventions where there are any."""

APPLICATION = "eventsourcing.application.name"
PROJECTION = "eventsourcing.projection.name"
EVENTS = "eventsourcing.events"
POSITION = "eventsourcing.position"
WAKE_UP_REASON = "eventsourcing.wake_up.reason"
RETRY_REASON = "eventsourcing.retry.reason"

ERROR_TYPE = "error.type"
POOL_NAME = "db.client.connection.pool.name"
POOL_STATE = "db.client.connection.state"
DB_SYSTEM = "db.system.name"


def of_projection(projection: str, application: str) -> dict[str, str]:
    """The attributes of what happens to a projection."""
    return {PROJECTION: projection, APPLICATION: application}


def type_of(error: type[BaseException]) -> str:
    """The name of an error's class, as `error.type` has it."""
    if error.__module__ == "builtins":
        return error.__qualname__
    return f"{error.__module__}.{error.__qualname__}"
