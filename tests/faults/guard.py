"""The directory of a server: nothing in it outlives this process, however that ends."""

from __future__ import annotations

import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

from faults.missing import Missing

_SCRIPT = """
cd /
inside() { find /proc -maxdepth 2 -name cwd \\( -lname "$0" -o -lname "$0/*" \\); }
kill_all() {
    while found=$(inside | cut -d / -f 3) && [ "$found" ]; do kill -KILL $found; done
}
exec 2>/dev/null
while read -r _; do kill_all; echo done; done
kill_all
rm -rf "$0"
"""
"""Waits until its input ends, as it does when this process is killed."""


class GuardedDirectory:
    """A directory for processes, with a process that watches over it.

    A process belongs to it that works in it or below: children that a server leaves
    when it dies, too.

    Args:
        owner: whose processes they are if this one is of root, as which servers do not
            run. Otherwise they are our own user's.

    Raises:
        Missing: this system does not tell where processes work.
    """

    def __init__(self, owner: str) -> None:
        if not Path("/proc/self/cwd").exists():
            raise Missing("servers can be started on Linux only")
        self._user = _user(owner) if os.geteuid() == 0 else None
        self.path = Path(tempfile.mkdtemp(prefix="es-server-"))
        if self._user is not None:
            shutil.chown(self.path, self._user.pw_uid, self._user.pw_gid)
        self._guard = self.popen(
            ["sh", "-c", _SCRIPT, str(self.path)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )

    def run(self, command: Sequence[str | Path]) -> None:
        """Run a command to its end, in the directory. Its output shows if it fails."""
        process = self.popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT)
        output, _ = process.communicate()
        assert process.returncode == 0, f"{command[0]} failed: {output.decode()}"

    def popen(
        self, command: Sequence[str | Path], **options: int | IO[bytes]
    ) -> subprocess.Popen[bytes]:
        """Start a process in the directory, which no Ctrl-C reaches."""
        # A MariaDB that starts removes what others have in their common folder.
        environment = {**os.environ, "TMPDIR": str(self.path)}
        given: dict[str, Any] = {
            "env": environment,
            "start_new_session": True,
            **options,
        }
        if user := self._user:
            given |= {"user": user.pw_uid, "group": user.pw_gid, "extra_groups": []}
        return subprocess.Popen(command, cwd=self.path, **given)

    def kill_all(self) -> None:
        """Kill every process in it. None is left afterwards."""
        assert self._guard.stdin
        assert self._guard.stdout
        self._guard.stdin.write(b"\n")
        self._guard.stdin.flush()
        assert self._guard.stdout.readline() == b"done\n"

    def close(self) -> None:
        """Kill every process in it, and remove it."""
        self._guard.communicate()


def _user(name: str) -> pwd.struct_passwd:
    try:
        return pwd.getpwnam(name)
    except KeyError:
        raise Missing(f"there is no user {name!r} to run the server as") from None
