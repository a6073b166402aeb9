"""The limit for appending: pgbench, with the very SQL that this package sends."""

import os
import re
import subprocess
import tempfile
from collections.abc import Mapping
from functools import partial
from itertools import islice
from math import ceil
from pathlib import Path
from typing import Any
from uuid import UUID

from psycopg.adapt import PyFormat, Transformer

from benchmarks.jobs import Job
from benchmarks.limits.recording import recorded, recording_shop
from benchmarks.measurements.append import WARM_UP, WRITERS
from benchmarks.workload import long_order

_PLACEHOLDER = re.compile(r"%\((\w+)\)s|%s|%(%)")
_TPS = re.compile(r"tps = ([\d.]+)")


def append(job: Job, *, batch: int = 1, clients: int = 1) -> Mapping[str, float]:
    """Appends new aggregates.

    Args:
        job: says where.
        batch: events in a transaction, of one aggregate.
        clients: connections that append at the same time.
    """
    shop = recording_shop(job)
    for number in range(WARM_UP):
        shop.recorder.insert_events([next(long_order(number))])
    with recorded() as sent:
        shop.recorder.insert_events(list(islice(long_order(WARM_UP), batch)))
    if len(sent) != 1:
        return {}
    statement, variables = _script(str(sent[0].sql), sent[0].parameters)
    return {"rate": batch * _transactions(job, statement, variables, clients)}


append_1 = partial(append)
append_100 = partial(append, batch=100)
append_8 = partial(append, clients=WRITERS)


def _script(sql: str, parameters: Any) -> tuple[str, dict[str, str]]:
    """A script for pgbench, and its variables.

    Each transaction gets another random ID for its aggregate; whatever else there
    is stays as it was sent, in text form.
    """
    variables: dict[str, str] = {}
    following = iter(parameters if not isinstance(parameters, Mapping) else ())

    def replace(match: re.Match[str]) -> str:
        if match[2]:
            return "%"
        value = parameters[match[1]] if match[1] else next(following)
        if isinstance(value, UUID):
            return _RANDOM_ID
        if isinstance(value, list) and isinstance(value[0], UUID):
            return f"array_fill({_RANDOM_ID}, ARRAY[{len(value)}])"
        name = f"p{len(variables)}"
        variables[name] = _text(value)
        return f":{name}"

    statement = _PLACEHOLDER.sub(replace, sql)
    return f"\\set id random(1, {2**62})\n{statement};\n", variables


_RANDOM_ID = "lpad(to_hex(:id::bigint), 32, '0')::uuid"


def _text(value: Any) -> str:
    dumped = Transformer().get_dumper(value, PyFormat.TEXT).dump(value)
    return bytes(dumped or b"").decode()


def _transactions(
    job: Job, script: str, variables: Mapping[str, str], clients: int
) -> float:
    """Transactions in a second."""
    with tempfile.TemporaryDirectory() as directory:
        path = Path(directory) / "append.sql"
        path.write_text(script)
        address = job.address
        command = [
            *("pgbench", "--no-vacuum", "--protocol=prepared"),
            *(f"--client={clients}", f"--jobs={min(clients, os.cpu_count() or 1)}"),
            *(f"--time={ceil(job.sizes.seconds)}", f"--file={path}"),
            *(f"--define={name}={value}" for name, value in variables.items()),
            *(f"--host={address.host}", f"--port={address.port}"),
            *(f"--username={address.user}", address.name),
        ]
        password = {"PGPASSWORD": address.password} if address.password else {}
        ended = subprocess.run(  # noqa: S603
            command,
            check=False,
            capture_output=True,
            text=True,
            env={**os.environ, **password},
        )
    found = _TPS.search(ended.stdout)
    if ended.returncode or found is None:
        raise RuntimeError(f"pgbench: {ended.stderr}")
    return float(found[1])
