"""Where Alembic may write a new revision."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

# As in `migrate`, the functions import Alembic.


def keep_apart(
    context: object,  # noqa: ARG001
    revision: object,  # noqa: ARG001
    directives: Sequence[Any],
) -> None:
    """Refuse to put a revision of yours on top of the package's, or into its files.

    Pass it as ``context.configure(process_revision_directives=keep_apart)``, if your
    ``version_locations`` include the package's.

    Args:
        context: Alembic's migration context.
        revision: The revision of the database.
        directives: The revisions that Alembic is about to write.

    Raises:
        CommandError: If a revision would be misplaced. The message names the options
            to pass.
    """
    from alembic import context as environment
    from alembic.util import CommandError

    ours = Path(str(files("eventsourcing_alchemy.migrations.versions")))
    for directive in directives:
        heads = environment.script.get_revisions(directive.head or "head")
        if any(Path(each.path).parent == ours for each in heads if each):
            raise CommandError(
                "This revision would follow one of eventsourcing_alchemy: create your "
                "first one with '--head=base --version-path=…', and each later one "
                "with '--head=…' and the name of your last one"
            )


def require_checkout(template: str) -> None:
    """Refuse to write a revision into the installed package.

    Its template calls this: Alembic needs no environment to write a revision.

    Args:
        template: The path of the template.

    Raises:
        CommandError: If this is not a checkout in which somebody works. The message
            says where a revision of a user's own belongs.
    """
    from alembic.util import CommandError

    checkout = Path(template).resolve().parents[1]
    is_checkout = (checkout / "pyproject.toml").is_file()
    # An installation can be a checkout, too, which other projects use.
    if not (is_checkout and Path.cwd().resolve().is_relative_to(checkout)):
        raise CommandError(
            "This revision would become part of the package eventsourcing_alchemy: "
            "create yours in an Alembic environment of your own, without "
            "'-n eventsourcing_alchemy' (or change into a checkout of the package, if "
            "you develop it)"
        )
