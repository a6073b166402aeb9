"""`python -m eventsourcing_alchemy`, and the command `eventsourcing-alchemy`."""

import sys

INTERRUPTED = 130
"""The exit code after Ctrl-C, as shells have it."""

_OF_EXTRA = {"dotenv", "rich", "typer"}


def main() -> None:
    """Runs the command line, or says how to install what it needs."""
    try:
        from eventsourcing_alchemy.cli.app import app
        from eventsourcing_alchemy.cli.standard_output import whole_output
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _OF_EXTRA:
            raise
        missing = error.name
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    else:
        with whole_output():
            app(prog_name="eventsourcing-alchemy")
        return
    sys.exit(_refusal(missing))


def _refusal(missing: str | None) -> int:
    print(  # noqa: T201 (there is no command line yet that could print it)
        f"Error: the command line needs {missing!r}, which is not installed: "
        f"pip install 'eventsourcing-alchemy[cli]'",
        file=sys.stderr,
    )
    return 2


if __name__ == "__main__":
    main()
