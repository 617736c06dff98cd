"""Reading IDX, the file format of MNIST and its relatives.

A file is ``00 00 <element type> <number of dimensions>``, one big-endian uint32 per dimension,
then the elements in C order, big-endian [1]_.

References
----------
.. [1] LeCun, Cortes, Burges, "The MNIST database of handwritten digits", section "File formats".
"""

from __future__ import annotations

import gzip
import math
import os
import zlib
from pathlib import Path
from typing import IO, Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError
from ..files import check_regular

__all__ = ["read_idx"]

_CODES = {0x08: ">u1", 0x09: ">i1", 0x0B: ">i2", 0x0C: ">i4", 0x0D: ">f4", 0x0E: ">f8"}
_ELEMENT_TYPES = {code: np.dtype(kind) for code, kind in _CODES.items()}
_GZIP_MAGIC = b"\x1f\x8b"


def as_path(path: str | os.PathLike[str]) -> Path:
    """Return `path` as an object, checked to be a path."""
    try:
        text = os.fspath(path)
    except TypeError as error:
        raise ArgumentError(f"a path is a string or a pathlib.Path, got {path!r}") from error
    if not text:
        raise ArgumentError("a path is empty; name a file or a folder")
    return Path(path)


class _Content:
    """The bytes of a file, unpacked if it is a gzip file; read as far as is asked for."""

    def __init__(self, path: Path, file: IO[bytes]) -> None:
        self._path, self._size = path, os.fstat(file.fileno()).st_size
        # The first bytes decide, not the name: some browsers unpack a .gz and keep its name.
        self._packed = file.read(2) == _GZIP_MAGIC
        file.seek(0)
        self._file: Any = gzip.GzipFile(fileobj=file) if self._packed else file
        self.bytes = bytearray()

    def read(self, size: int) -> None:
        """Have `size` bytes, or all there are if these are fewer."""
        try:
            # In pieces: memory grows with what is there, not with what a header promises.
            while piece := self._file.read(min(size - len(self.bytes), 1 << 20)):
                self.bytes += piece
        except (gzip.BadGzipFile, EOFError, zlib.error) as error:
            raise DataError(
                f"{self._path} ({self._size} bytes) is a corrupt or truncated gzip file: {error}; "
                "download it again"
            ) from error


def read_idx(path: str | os.PathLike[str]) -> NDArray[Any]:
    """Read one IDX file, gzipped or not, into a NumPy array.

    Parameters
    ----------
    path : str or path-like
        The file; gzip is recognised by content, so the name does not matter.

    Returns
    -------
    numpy.ndarray
        A new writable array in native byte order with the shape the file states: uint8, int8,
        int16, int32, float32 or float64.

    Raises
    ------
    ArgumentError
        If `path` is no path.
    DataError
        If the file is missing, no regular file, or not IDX, has an unknown element type, is a
        broken gzip file, or holds fewer or more bytes than its header states.  No more of it is
        unpacked than that.

    Examples
    --------
    >>> import tempfile, pathlib
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     file = pathlib.Path(folder, "two-labels-idx1-ubyte")
    ...     _ = file.write_bytes(bytes([0, 0, 0x08, 1, 0, 0, 0, 2]) + bytes([5, 0]))
    ...     read_idx(file)
    array([5, 0], dtype=uint8)
    """
    path = as_path(path)
    try:
        check_regular(path)
    except (OSError, ValueError) as error:
        raise _unreadable(path, error) from error
    try:
        with path.open("rb") as file:
            return _parsed(path, _Content(path, file))
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: Path, error: OSError | ValueError) -> DataError:
    if isinstance(error, FileNotFoundError):
        return DataError(f"no such file: {path}; expected an IDX file, gzipped or not")
    if not isinstance(error, OSError):  # a null character
        return DataError(f"cannot read {str(path)!r}: {error}")
    return DataError(f"cannot read {path}: {error.strerror or error}")


def _parsed(path: Path, content: _Content) -> NDArray[Any]:
    content.read(4)
    start = bytes(content.bytes)
    if len(start) < 4:
        raise DataError(f"{path} is not an IDX file: expected at least 4 bytes, got {len(start)}")
    code, ndim = start[2], start[3]
    if start[:2] != b"\x00\x00":
        raise DataError(
            f"{path} is not an IDX file: expected it to start with 00 00, got {start.hex(' ')}"
        )
    if code not in _ELEMENT_TYPES:
        known = ", ".join(f"0x{c:02x} ({t.newbyteorder('=')})" for c, t in _ELEMENT_TYPES.items())
        raise DataError(f"{path}: unknown IDX element type 0x{code:02x}; expected one of {known}")
    header = 4 + 4 * ndim
    content.read(header)
    if len(content.bytes) < header:
        raise DataError(
            f"{path} is truncated: a header of {ndim} dimensions takes {header} bytes, "
            f"got {len(content.bytes)}"
        )
    dtype = _ELEMENT_TYPES[code]
    shape = tuple(np.frombuffer(bytes(content.bytes), ">u4", ndim, offset=4).tolist())
    expected = header + math.prod(shape) * dtype.itemsize
    # One byte more tells a file that is too long: a gzip file may hold a thousand times its size.
    content.read(expected + 1)
    found = len(content.bytes)
    if found != expected:
        problem = "is truncated" if found < expected else "has trailing bytes"
        raise DataError(
            f"{path} {problem}: its header says shape {shape} of {dtype.newbyteorder('=')}, "
            f"expected {expected} bytes, got {found if found < expected else 'more'}"
        )
    try:
        array = np.frombuffer(content.bytes, dtype, offset=header).reshape(shape)
    except ValueError as error:  # more dimensions, or larger empty ones, than NumPy can hold
        raise DataError(f"{path}: NumPy cannot hold shape {shape}: {error}") from error
    return array.astype(dtype.newbyteorder("="))
