"""The command `run` in a process of its own, and its probes."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from urllib.error import HTTPError
from urllib.request import urlopen

from cli.command import Command


class Running:
    """A process that runs projections, and what it logs."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process

    def waits_for(self, text: str) -> re.Match[str]:
        """Read the log until something is found there."""
        assert self.process.stderr is not None
        seen = []
        for line in self.process.stderr:
            seen.append(line)
            if found := re.search(text, line):
                return found
        raise AssertionError(seen)

    def get(self, path: str) -> tuple[int, str]:
        """The answer of its server."""
        try:
            with urlopen(f"http://127.0.0.1:{self.port}{path}") as answer:
                return answer.status, answer.read().decode()
        except HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def probe(self, path: str) -> tuple[int, Any]:
        """The status of an answer, and what it says of the only projection."""
        status, body = self.get(path)
        (projection,) = json.loads(body)["projections"].values()
        return status, projection

    @property
    def port(self) -> int:
        """Of the server, known when the process has told it."""
        if not hasattr(self, "_port"):
            self._port = int(self.waits_for(r"at 127.0.0.1:(\d+)")[1])
        return self._port


@contextmanager
def running(command: Command, *arguments: str) -> Iterator[Running]:
    with command.popen("run", *arguments) as process:
        try:
            yield Running(process)
        finally:
            process.kill()
