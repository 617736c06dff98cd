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
from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import ArgumentError, DataError

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


def _read_bytes(path: Path) -> bytes:
    """Return the content of `path`, decompressed when it starts as a gzip file does."""
    try:
        raw = path.read_bytes()
    except FileNotFoundError as error:
        raise DataError(f"no such file: {path}; expected an IDX file, gzipped or not") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror or error}") from error
    except ValueError as error:  # a null character
        raise DataError(f"cannot read {str(path)!r}: {error}") from error
    # The first bytes decide, not the name: some browsers unpack a .gz and keep its name.
    if not raw.startswith(_GZIP_MAGIC):
        return raw
    try:
        return gzip.decompress(raw)
    except (gzip.BadGzipFile, EOFError, zlib.error) as error:
        raise DataError(
            f"{path} ({len(raw)} bytes) is a corrupt or truncated gzip file: {error}; "
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
        If the file is missing, is not IDX, has an unknown element type, is a broken gzip file, or
        holds fewer or more bytes than its header states.

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
    content = _read_bytes(path)
    if len(content) < 4:
        raise DataError(f"{path} is not an IDX file: expected at least 4 bytes, got {len(content)}")
    zeros, code, ndim = content[:2], content[2], content[3]
    if zeros != b"\x00\x00":
        raise DataError(
            f"{path} is not an IDX file: expected it to start with 00 00, "
            f"got {content[:4].hex(' ')}"
        )
    if code not in _ELEMENT_TYPES:
        known = ", ".join(f"0x{c:02x} ({t.newbyteorder('=')})" for c, t in _ELEMENT_TYPES.items())
        raise DataError(f"{path}: unknown IDX element type 0x{code:02x}; expected one of {known}")
    start = 4 + 4 * ndim
    if len(content) < start:
        raise DataError(
            f"{path} is truncated: a header of {ndim} dimensions takes {start} bytes, "
            f"got {len(content)}"
        )
    dtype = _ELEMENT_TYPES[code]
    shape = tuple(np.frombuffer(content, ">u4", ndim, offset=4).tolist())
    expected = start + math.prod(shape) * dtype.itemsize
    if len(content) != expected:
        problem = "is truncated" if len(content) < expected else "has trailing bytes"
        raise DataError(
            f"{path} {problem}: its header says shape {shape} of {dtype.newbyteorder('=')}, "
            f"expected {expected} bytes, got {len(content)}"
        )
    try:
        array = np.frombuffer(content, dtype, offset=start).reshape(shape)
    except ValueError as error:  # more dimensions, or larger empty ones, than NumPy can hold
        raise DataError(f"{path}: NumPy cannot hold shape {shape}: {error}") from error
    return array.astype(dtype.newbyteorder("="))
