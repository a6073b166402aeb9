"""Small file systems, to fill."""

from __future__ import annotations

import gc
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from faults.missing import Missing, available
from faults.report import inject

KIB = 1024


@contextmanager
def small_disk(folder: Path, size: int) -> Iterator[Path]:
    """A file system of its own.

    Args:
        folder: where to mount it.
        size: in bytes.
    """
    disk = folder / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(disk)]
    with available():
        mounted = subprocess.run(mount, check=False, capture_output=True, text=True)
        if mounted.returncode:
            raise Missing(f"a file system of its own: {mounted.stderr}")
    yield disk
    gc.collect()  # The host leaves the closing of a view to it.
    try:
        subprocess.run(["umount", disk], check=True)
    except subprocess.CalledProcessError:
        # The traceback of a failed test may keep the file open; nothing else may.
        subprocess.run(["umount", "--lazy", disk], check=True)
        raise


def fill(disk: Path) -> Path:
    """Leave no room."""
    inject("full disk")
    ballast = disk / "ballast"
    with suppress(OSError), ballast.open("wb", buffering=0) as file:
        while True:
            file.write(bytes(KIB))
    return ballast
