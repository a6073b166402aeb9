"""MariaDB Galera clusters of our own."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

from faults.mariadb import MariaDBServer, program
from faults.missing import Missing
from faults.ports import HOST, ReservedPort

_PROVIDER = Path("/usr/lib/galera/libgalera_smm.so")
_PROVIDER_OPTIONS = {
    # The others go on without a dead node after two seconds, not after five.
    "evs.keepalive_period": "PT0.5S",
    "evs.inactive_check_period": "PT0.2S",
    "evs.suspect_timeout": "PT2S",
    "gcache.size": "16M",
}


class GaleraNode(MariaDBServer):
    """A node, which finds the others that run when it is started.

    Args:
        number: of the node, from 1. The first one begins the cluster.
        nodes: the cluster's, this one among them, when it is started.

    Raises:
        Missing: this machine cannot run one.
    """

    _name = "Galera node"

    def __init__(self, number: int, nodes: Sequence[GaleraNode]) -> None:
        if not _PROVIDER.exists():
            raise Missing(f"there is no {_PROVIDER}: install galera-4")
        program("rsync")
        super().__init__()
        self._number = number
        self._nodes = nodes
        self._group, self._full, self._missed = (ReservedPort() for _ in range(3))

    def close(self) -> None:
        """Leave nothing of it."""
        super().close()
        for port in (self._group, self._full, self._missed):
            port.close()

    def sessions(self, database: str) -> list[int]:
        """The IDs of the sessions in a database."""
        processes = self.execute("SELECT id, db FROM information_schema.processlist")
        return [number for number, db in processes if db == database]

    def _prepare(self) -> None:
        if self._others():
            self._directory.run(["mkdir", self._data])
        else:
            super()._prepare()

    def _others(self) -> list[str]:
        return [
            f"{HOST}:{node._group.number}"
            for node in self._nodes
            if node is not self and node.is_running
        ]

    def _is_ready(self) -> bool:
        ((_, state),) = self.execute("SHOW STATUS LIKE 'wsrep_local_state_comment'")
        return bool(state == "Synced")

    def _command(self) -> Sequence[str | Path]:
        provider_options = {
            **_PROVIDER_OPTIONS,
            "gmcast.listen_addr": f"tcp://{HOST}:{self._group.number}",
            "ist.recv_addr": f"{HOST}:{self._missed.number}",
        }
        options = {
            "cluster-address": f"gcomm://{','.join(self._others())}",
            "cluster-name": "test",
            "node-address": f"{HOST}:{self._group.number}",
            "node-name": f"node{self._number}",
            "on": "ON",
            "provider": _PROVIDER,
            "provider-options": ";".join(map("=".join, provider_options.items())),
            "sst-method": "rsync",
            "sst-receive-address": f"{HOST}:{self._full.number}",
        }
        return [
            *super()._command(),
            "--binlog-format=ROW",
            "--innodb-autoinc-lock-mode=2",
            *(f"--wsrep-{name}={value}" for name, value in options.items()),
        ]


class GaleraCluster:
    """A cluster that has begun when `with` does, all nodes in sync.

    A killed node is started again like any server, and returns when it is in sync.

    Raises:
        Missing: this machine cannot run one.
    """

    def __init__(self, nodes: int = 3) -> None:
        self.nodes: list[GaleraNode] = []
        self.nodes += [GaleraNode(number, self.nodes) for number in range(1, nodes + 1)]
        self._stack = ExitStack()

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            for node in self.nodes:
                stack.enter_context(node)
            self._stack = stack.pop_all()
        return self

    def catch_up(self) -> None:
        """Wait until every node has what was committed on any."""
        for node in self.nodes:
            node.execute("SET STATEMENT wsrep_sync_wait = 1 FOR SELECT 1")

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._stack.close()
