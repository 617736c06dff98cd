"""Files that appear complete or not at all."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Iterator
from typing import IO

__all__ = ["atomic_file"]


@contextlib.contextmanager
def atomic_file(path: str | os.PathLike[str]) -> Iterator[IO[bytes]]:
    """Open a new file for writing that takes the place of `path` if the block succeeds.

    Whatever interrupts the block leaves the old file as it was and no temporary file behind.  The
    new file has the old one's permissions, or those of the process's umask.  A symbolic link is
    followed.

    Parameters
    ----------
    path : str or path-like
        The file to make or replace.

    Raises
    ------
    OSError
        If the directory cannot be written.

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


def _sync_directory(directory: str) -> None:
    """Make the renaming itself survive a power cut, where the system can."""
    if os.name != "posix":
        return
    descriptor = os.open(directory, os.O_RDONLY)
    # The file is complete and in place; some network file systems cannot sync a directory.
    with contextlib.suppress(OSError):
        os.fsync(descriptor)
    os.close(descriptor)
