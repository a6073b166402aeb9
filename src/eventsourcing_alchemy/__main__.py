"""`python -m eventsourcing_alchemy`, and the command `eventsourcing-alchemy`."""

import sys

from eventsourcing_alchemy.errors import missing_extra

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

_OF_EXTRA = {"dotenv", "rich", "typer"}


def main() -> None:
    """Runs the command line, or says how to install what it needs."""
    try:
        from eventsourcing_alchemy.cli.app import app
        from eventsourcing_alchemy.cli.standard_error import drop_lost_messages
        from eventsourcing_alchemy.cli.standard_output import whole_output
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_EXTRA:
            raise
        refusal = missing_extra("cli", error)
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    else:
        drop_lost_messages()
        with whole_output():
            app(prog_name="eventsourcing-alchemy")
        return
    # There is no command line yet that could print it.
    print(f"Error: {refusal}", file=sys.stderr)  # noqa: T201
    sys.exit(2)


if __name__ == "__main__":
    main()
