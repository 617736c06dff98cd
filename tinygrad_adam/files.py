"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import stat
import time
from collections.abc import Iterator
from typing import IO

__all__ = ["atomic_file", "check_regular"]

# Seconds after which a temporary file that nobody has written to was left by a process that died.
_ABANDONED = 3600.0


def check_regular(path: str | os.PathLike[str]) -> None:
    """Raise OSError if `path` is there and is a pipe, a device or a socket, which could block.

    Examples
    --------
    >>> check_regular(os.devnull)
    Traceback (most recent call last):
    ...
    OSError: [Errno 22] not a regular file: '/dev/null'
    """
    mode = os.stat(path).st_mode
    if not stat.S_ISREG(mode) and not stat.S_ISDIR(mode):  # opening a directory fails by itself
        raise OSError(errno.EINVAL, "not a regular file", os.fspath(path))


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes the place of `path` if the block succeeds.

    Whatever interrupts the block leaves the old file as it was and no temporary file behind.  The
    new file has the old one's permissions, or those of the process's umask.  A symbolic link is
    followed.

    A process that is killed cannot clean up: its ``.<name>.<8 hexadecimal digits>.tmp`` stays.  The
    next one that writes `path` removes those that are older than an hour.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace.

    Raises
    ------
    OSError
        If the directory cannot be written, or `path` is a pipe or a device.

    Examples
    --------
    >>> import os, tempfile
    >>> path = os.path.join(tempfile.mkdtemp(), "log.bin")
    >>> with atomic_file(path) as file:
    ...     _ = file.write(b"done")
    >>> os.listdir(os.path.dirname(path))
    ['log.bin']
    """
    target = os.path.realpath(os.fsdecode(path))
    directory, base = os.path.split(target)
    if os.path.exists(target):
        check_regular(target)
    _sweep(directory, base)
    temporary = os.path.join(directory, f".{base[:40]}.{os.urandom(4).hex()}.tmp")
    # Mode "x" and not tempfile: that one makes files only their owner can read.
    file = open(temporary, "xb")  # noqa: SIM115
    try:
        with file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        if os.path.exists(target):
            os.chmod(temporary, stat.S_IMODE(os.stat(target).st_mode))
        os.replace(temporary, target)
    except BaseException:
        os.unlink(temporary)
        raise
    _sync_directory(directory)


def _sweep(directory: str, base: str) -> None:
    """Remove what processes that were killed while they wrote `base` have left."""
    left = re.compile(re.escape(f".{base[:40]}.") + r"[0-9a-f]{8}\.tmp")
    # Another process may sweep too, and a directory that cannot be listed may still be written to.
    with contextlib.suppress(OSError), os.scandir(directory) as entries:
        for entry in entries:
            if left.fullmatch(entry.name) and time.time() - entry.stat().st_mtime > _ABANDONED:
                os.unlink(entry.path)


def _sync_directory(directory: str) -> None:
    """Make the renaming itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    # The file is complete and in place; some network file systems cannot sync a directory.
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)
