"""What a database does by itself when a row is written."""

from sqlalchemy import Connection


class SideEffects:
    """What a database does by itself when a row is written."""

    def has_side_effects(
        self,
        connection: Connection,  # noqa: ARG002
        table: str,  # noqa: ARG002
        schema: str | None,  # noqa: ARG002
    ) -> bool:
        """Whether writing a row may run anything but what the statement says.

        A trigger, a rule, a policy or a function of the user's may read other tables,
        or state of the session. Where it cannot be told, it may.

        Args:
            connection: looks the table up as the statement would.
            table: its name.
            schema: of the table, None for the default.
        """
        return True
