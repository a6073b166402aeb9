"""The file beside a database in which the processes that write to it queue."""

import logging
import os
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from tempfile import mkstemp
from time import monotonic_ns

try:
    import fcntl
except ImportError:  # Not on Windows.
    fcntl = None  # type: ignore[assignment]

logger = logging.getLogger("eventsourcing_alchemy")

SUFFIX = "-queue"
"""Of the name of the file, after that of the database."""

_MARK = b"The processes that write to the database queue here.\n"
"""What the file begins with. Whatever else has its name is left alone."""

_BEAT = 8
"""Bytes after the mark. They have nothing to do with the locks."""

_SIZE = len(_MARK) + _BEAT

_REMEDY = "Let it write to the file, or delete the file while nobody writes"


class QueueFile:
    """A file whose bytes processes lock, and in which they show that they write.

    The locks are POSIX's: they end with their process, however that ends, and no child
    inherits them. They end with any descriptor of the file, too, so it must not be
    closed while a thread of the process has one.

    Args:
        database: path of the database.
    """

    def __init__(self, database: str) -> None:
        self._path = database + SUFFIX
        self._database = Path(database)
        self._descriptor: int | None = None
        self._is_told = False

    def open(self, *, create: bool = False) -> bool:
        """Opens it, and tells whether there is a file, and can be locks.

        Args:
            create: whether to make the file; also where somebody has deleted it.
        """
        if create and self._is_deleted():
            self.close()
        if self._descriptor is None and fcntl is not None:
            try:
                self._descriptor = self._opened(create=create)
            except OSError as error:
                self._tell(error)
        return self._descriptor is not None

    def close(self) -> None:
        """Closes it, if it is open."""
        descriptor, self._descriptor = self._descriptor, None
        if descriptor is not None:
            os.close(descriptor)

    @property
    def descriptor(self) -> int:
        """Of the open file."""
        if self._descriptor is None:
            raise OSError("The file is not open")
        return self._descriptor

    def lock(self, start: int, length: int = 1) -> bool:
        """Locks bytes, and tells whether that was possible."""
        try:
            fcntl.lockf(self.descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB, length, start)
        except OSError:
            return False
        return True

    def unlock(self, start: int, length: int = 1) -> None:
        """Unlocks bytes, whether they are locked or not."""
        with suppress(OSError):
            fcntl.lockf(self.descriptor, fcntl.LOCK_UN, length, start)

    def beat(self) -> None:
        """Shows the other processes that this one writes to the database.

        To look at the log would slow down the commits: a file system dates each write
        exactly, once somebody has asked for the date of the last one.
        """
        if self._descriptor is not None:
            with suppress(OSError):
                beat = monotonic_ns().to_bytes(_BEAT)
                os.pwrite(self._descriptor, beat, len(_MARK))

    def last_beat(self) -> bytes:
        """Changes with each beat of any process."""
        try:
            return os.pread(self.descriptor, _BEAT, len(_MARK))
        except OSError:
            return b""

    def _is_deleted(self) -> bool:
        return self._descriptor is not None and not os.fstat(self._descriptor).st_nlink

    def _opened(self, *, create: bool) -> int | None:
        if create and not os.path.lexists(self._path):
            self._make()
        try:
            found = os.lstat(self._path)
        except FileNotFoundError:
            return None
        # Before it is opened: to close a database drops SQLite's locks on it.
        if not S_ISREG(found.st_mode) or found.st_size != _SIZE:
            raise _AnotherFileError
        descriptor = os.open(self._path, os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW)
        if os.pread(descriptor, len(_MARK), 0) != _MARK:
            os.close(descriptor)
            raise _AnotherFileError
        return descriptor

    def _make(self) -> None:
        """Makes it at once with its content, unless another process is faster."""
        folder, name = os.path.split(self._path)
        made, temporary = mkstemp(dir=folder, prefix=name)
        try:
            os.write(made, _MARK + bytes(_BEAT))
            self._let_others_in(made)
            with suppress(FileExistsError):
                os.link(temporary, self._path)
        finally:
            os.close(made)
            Path(temporary).unlink()

    def _let_others_in(self, descriptor: int) -> None:
        """Lets in who may write to the database, as SQLite does with its own files."""
        database = self._database.stat()
        os.fchmod(descriptor, database.st_mode & 0o666)
        if os.geteuid() == 0:
            os.fchown(descriptor, database.st_uid, database.st_gid)

    def _tell(self, error: OSError) -> None:
        if not self._is_told:
            self._is_told = True
            is_another = isinstance(error, _AnotherFileError)
            logger.warning(
                "Cannot use the queue of writers %r: %s. The process waits in SQLite's "
                "way, and busy processes may starve it. %s",
                self._path,
                "it is something else" if is_another else error.strerror,
                "Rename that, or the database" if is_another else _REMEDY,
            )


class _AnotherFileError(OSError):
    """Something else has the name of the queue."""
