"""Makes git repositories to read."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

AT = 1_700_000_000
"""A date; in UTC it is 2023-11-14."""


@dataclass(frozen=True)
class ScratchRepository:
    """A repository in an empty folder, whatever the user's own git configuration."""

    path: Path

    def git(self, *arguments: str, given: bytes = b"", **variables: str) -> bytes:
        """Run git in it; return what it printed."""
        environment = {
            **os.environ,
            "GIT_CONFIG_GLOBAL": os.devnull,
            "GIT_CONFIG_NOSYSTEM": "1",
            "GIT_COMMITTER_NAME": "Committer",
            "GIT_COMMITTER_EMAIL": "committer@example.org",
            **variables,
        }
        return subprocess.run(
            ["git", "-C", str(self.path), *arguments],
            env=environment,
            input=given,
            capture_output=True,
            check=True,
        ).stdout

    def commit(
        self, files: dict[str, str | bytes], author: str = "Ada", at: int = AT
    ) -> str:
        """Write the files and commit them; return the hash of the commit."""
        for name, content in files.items():
            file = self.path / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content.encode() if isinstance(content, str) else content)
        self.git("add", "--all")
        self.git(
            "commit",
            "--allow-empty",
            "--message=any",
            GIT_AUTHOR_NAME=author,
            GIT_AUTHOR_EMAIL="author@example.org",
            GIT_AUTHOR_DATE=f"@{at} +0000",
        )
        return self.head()

    def head(self) -> str:
        """Return the hash of the last commit."""
        return self.git("rev-parse", "HEAD").decode().strip()


def make_repository(path: Path) -> ScratchRepository:
    """Make a repository without commits."""
    path.mkdir(parents=True, exist_ok=True)
    repository = ScratchRepository(path)
    repository.git("init", "--quiet", "--initial-branch=main")
    return repository
