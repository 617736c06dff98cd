"""Tensors in files: safetensors, written atomically, with no pickle anywhere.

A file written here opens in PyTorch with ``safetensors.torch.load_file``, and one written there
opens here.  Format: https://github.com/huggingface/safetensors
"""

from __future__ import annotations

import contextlib
import operator
import os
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np

from .device import Device, asarray, to_device
from .errors import ArgumentError, DataError, DTypeError
from .files import atomic_file, check_regular
from .packages import needed
from .tensor import Tensor

__all__ = ["load", "save"]

# The format's names of the types a tensor can have.
_DTYPES = {"BOOL": np.dtype(np.bool)} | {
    f"{kind.upper()}{8 * size}": np.dtype(f"{kind}{size}")
    for kind, sizes in (("i", (1, 2, 4, 8)), ("u", (1, 2, 4, 8)), ("f", (2, 4, 8)))
    for size in sizes
}


def save(
    state: Mapping[str, Any],
    path: str | os.PathLike[str],
    metadata: Mapping[str, str] | None = None,
) -> None:
    """Write named tensors to a safetensors file; it appears complete or not at all.

    The data go to a new file in the same directory, are flushed to the disk and then take the
    place of `path` in one step, so a crash at any moment leaves the old file or the new one.

    Parameters
    ----------
    state : mapping of str to Tensor or array
        For instance ``model.state_dict()``.  Any memory layout and device; booleans, integers
        and float16 to float64.
    path : str or path-like
        The file, replaced if it exists.
    metadata : mapping of str to str, optional
        Text to keep in the file's header; see `load_metadata`.

    Raises
    ------
    ArgumentError
        If `state` or `metadata` is no such mapping.
    DTypeError
        If an array's type has no place in the format.
    DataError
        If the file cannot be written; an old one is then intact.
    MissingPackageError
        If safetensors is not installed.

    Examples
    --------
    >>> import os, tempfile
    >>> import tinygrad_adam as tg
    >>> path = os.path.join(tempfile.mkdtemp(), "line.safetensors")
    >>> tg.save({"slope": tg.tensor([2.0, 3.0])}, path, metadata={"epoch": "7"})
    >>> tg.load(path)["slope"].tolist()
    [2.0, 3.0]
    """
    arrays = _check_state(state)
    text = _check_metadata(metadata)
    data = _safetensors("safetensors.numpy").save(arrays, metadata=text)
    try:
        with atomic_file(path) as file:
            file.write(data)
    except (OSError, ValueError) as error:
        name = os.fsdecode(path)
        folder = os.path.dirname(name)
        if isinstance(error, FileNotFoundError) and folder and not os.path.isdir(folder):
            raise DataError(
                f"save: {name!r} cannot be written: there is no folder {folder!r}; make it first"
            ) from error
        raise DataError(
            f"save: {name!r} cannot be written: {_reason(error)}; "
            "nothing was changed, check that the folder is writable and has room"
        ) from error


def load(path: str | os.PathLike[str], device: Device | str | None = None) -> dict[str, Tensor]:
    """Read all tensors of a safetensors file.

    Parameters
    ----------
    path : str or path-like
        The file.
    device : str or Device, optional
        Where the tensors go; the default device if left out.

    Returns
    -------
    dict of str to Tensor
        By name, sorted; fresh memory, shared with nothing.

    Raises
    ------
    DataError
        If the file is missing, truncated, corrupt, or holds an unsupported type.
    DeviceError
        If there is no such device.
    MissingPackageError
        If safetensors is not installed.

    Examples
    --------
    See `save`.  Into a model: ``model.load_state_dict(tg.load("model.safetensors"))``.
    """
    target = Device.parse(device)
    safetensors = _safetensors("safetensors")
    name = os.fsdecode(path)
    with _typed_errors(name, safetensors.SafetensorError):
        check_regular(path)
        with open(path, "rb") as file:
            data = file.read()
        entries = safetensors.deserialize(data)
    tensors = {}
    for key, entry in sorted(entries, key=operator.itemgetter(0)):
        kind = _DTYPES.get(entry["dtype"])
        if kind is None:
            raise DataError(
                f"load: {name!r} holds {key!r} as {entry['dtype']}, which is no type of tensors "
                "here; convert the file first, for instance to F32"
            )
        with _typed_errors(name, safetensors.SafetensorError):
            array = np.frombuffer(entry["data"], kind.newbyteorder("<")).reshape(entry["shape"])
            if kind == np.bool and (array.view(np.uint8) > 1).any():
                raise ValueError(f"{key!r} holds booleans that are neither 0 nor 1")
        tensors[key] = Tensor(to_device(array.astype(kind, copy=False), target))
    return tensors


def load_metadata(path: str | os.PathLike[str]) -> dict[str, str]:
    """Read the text that `save` put in the header of a file; empty if there is none.

    Parameters
    ----------
    path : str or path-like
        The file.

    Returns
    -------
    dict of str to str
        As given to `save`.

    Raises
    ------
    DataError
        If the file is missing, truncated or corrupt.
    MissingPackageError
        If safetensors is not installed.
    """
    safetensors = _safetensors("safetensors")
    name = os.fsdecode(path)
    with (
        _typed_errors(name, safetensors.SafetensorError),
        _opened(path, safetensors) as file,
    ):
        return dict(file.metadata() or {})


def _opened(path: str | os.PathLike[str], safetensors: Any) -> Any:
    check_regular(path)
    return safetensors.safe_open(os.fsdecode(path), framework="np")


def _check_state(state: Mapping[str, Any]) -> dict[str, np.ndarray]:
    """Return the values of `state` as contiguous arrays on the host.

    Contiguous, because the safetensors package writes the memory as it lies: a transposed array
    would come back with its values in the wrong places.
    """
    if not isinstance(state, Mapping):
        raise ArgumentError(
            f"save: a mapping of names to tensors is needed, got {type(state).__name__}; "
            "for a model pass model.state_dict()"
        )
    arrays = {}
    for key, value in state.items():
        if not _is_text(key) or key in ("", "__metadata__"):
            raise ArgumentError(
                f"save: {key!r} cannot name a tensor; use a non-empty string other than "
                "'__metadata__'"
            )
        if not isinstance(value, Tensor) and not hasattr(value, "dtype"):
            raise ArgumentError(
                f"save: {key!r} is a {type(value).__name__}, not a tensor or an array; "
                "flatten nested state into one mapping, and put settings in metadata"
            )
        try:
            array = asarray(value.data if isinstance(value, Tensor) else value, device="cpu")
        except DTypeError as error:
            raise DTypeError(f"save: {key!r}: {error}") from error
        native = array.dtype.newbyteorder("=")
        if native not in _DTYPES.values():
            names = ", ".join(str(kind) for kind in _DTYPES.values())
            raise DTypeError(f"save: {key!r} has dtype {array.dtype}; the format knows {names}")
        # Not ascontiguousarray, which turns a 0-d array into a 1-d one.
        arrays[key] = array.astype(native, order="C", copy=False)
    return arrays


def _check_metadata(metadata: Mapping[str, str] | None) -> dict[str, str] | None:
    if metadata is None:
        return None
    if not isinstance(metadata, Mapping):
        raise ArgumentError(
            f"save: metadata is a mapping of strings to strings, got {type(metadata).__name__}"
        )
    for key, value in metadata.items():
        if not _is_text(key) or not _is_text(value):
            raise ArgumentError(
                f"save: metadata is text only, got {key!r}: {value!r}; "
                "turn other values into strings, for instance with json.dumps"
            )
    return dict(metadata)


def _is_text(value: object) -> bool:
    """Whether `value` is a string that UTF-8 can hold (a lone surrogate cannot be written)."""
    if not isinstance(value, str):
        return False
    try:
        value.encode()
    except UnicodeEncodeError:
        return False
    return True


@contextlib.contextmanager
def _typed_errors(name: str, corrupt: type[Exception]) -> Iterator[None]:
    """Turn what reading the file `name` can raise into a DataError."""
    try:
        yield
    except OSError as error:
        raise DataError(f"load: {name!r} cannot be read: {_reason(error)}") from error
    except (corrupt, ValueError) as error:
        other = _other_format(name)
        if other is not None:
            raise DataError(
                f"load: {name!r} is no safetensors file but {other}; load it there and write it "
                "anew, for instance safetensors.torch.save_file(state_dict, path)"
            ) from error
        raise DataError(
            f"load: {name!r} is truncated, corrupt or not a safetensors file: {error}"
        ) from error


def _other_format(name: str) -> str | None:
    """Return what a file that could not be read is, where its first bytes say so."""
    try:
        with open(name, "rb") as file:
            first = file.read(8)
    except (OSError, ValueError):
        return None
    if first.startswith(b"PK\x03\x04"):
        return "a zip archive, as torch.save (.pt, .pth) and numpy.savez write"
    # Here a safetensors file has zeros: its header is shorter than four gigabytes.
    if first.startswith(b"\x80") and any(first[4:]):
        return "a pickle, as an old torch.save (.pt, .pth) writes"
    return None


def _reason(error: Exception) -> str:
    """Return what went wrong without the path, which the message has already."""
    return getattr(error, "strerror", None) or str(error)


def _safetensors(module: str) -> Any:
    return needed(module, "saving and loading tensors")
