"""Run by the session `build`, in an environment that has nothing but the wheel."""

import os
import sys
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

from alembic import command
from alembic.config import Config

import eventsourcing_alchemy
from eventsourcing_alchemy import SQLAlchemyProjectionRunner
from git_history.application import GitHistory
from git_history.domain import Commit, FileChange
from git_history.projection import GitActivityProjection
from git_history.view import Activity, GitActivity, Lines


def main() -> None:
    """Migrate an empty database, record a commit, and project it."""
    assert Path(eventsourcing_alchemy.__file__).is_relative_to(sys.prefix)
    with TemporaryDirectory() as folder:
        os.environ["SQLALCHEMY_URL"] = f"sqlite:///{folder}/installed.db"
        os.environ["PERSISTENCE_MODULE"] = "eventsourcing_alchemy"
        config = Config()
        config.set_main_option("script_location", "eventsourcing_alchemy.migrations:.")
        command.upgrade(config, "head")
        project()
    print("The wheel works alone.")


def project() -> None:
    """Record a commit, and see it in the view."""
    changes = [FileChange("README.md", 3, 1)]
    now = datetime.now(UTC)
    with SQLAlchemyProjectionRunner(
        application_class=GitHistory,
        projection_class=GitActivityProjection,
        view_class=GitActivity,
    ) as runner:
        runner.app.record([Commit("c0ffee", "Ada", now, changes)])
        runner.wait(1, timeout=10)
        assert runner.view.totals() == Activity(1, Lines(3, 1))


if __name__ == "__main__":
    main()
