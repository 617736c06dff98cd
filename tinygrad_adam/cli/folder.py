"""The folder of a run: complete, or not there."""

from __future__ import annotations

import contextlib
import json
import math
import os
import platform
import secrets
import shutil
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Self

import numpy as np

from .. import __version__, plot
from ..errors import ArgumentError, DataError
from ..serialization import save

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from ..nn import Module

__all__ = ["RunFolder", "versions"]


class RunFolder:
    """A context in which a run's files are collected, out of sight, and that puts them in place.

    The files go to a hidden folder beside the final one.  When the block ends well it takes its
    final name in one step; when anything goes wrong, Ctrl-C included, all of it is removed.

    Parameters
    ----------
    name : str
        Of the job; without `out` the folder is ``runs/<name>-<date>-<time>``.
    out : str or path-like, optional
        The folder: a new one, or an empty one.

    Attributes
    ----------
    path : pathlib.Path
        Where the files will be, or are.

    Raises
    ------
    ArgumentError
        If `out` is a file or is not empty; nothing is ever overwritten.
    DataError
        If no folder can be made there, which may turn out on entering.

    Examples
    --------
    >>> import tempfile
    >>> with RunFolder("demo", tempfile.mkdtemp() + "/first") as folder:
    ...     folder.write_json("metrics.json", {"accuracy": 0.5})
    >>> [file.name for file in folder.path.iterdir()]
    ['metrics.json']
    """

    def __init__(self, name: str, out: str | os.PathLike[str] | None = None) -> None:
        self._chosen = out is not None
        if out is None:
            self.path = Path("runs", f"{name}-{_now()}")
            return
        if not os.fspath(out):
            raise ArgumentError("--out is empty; name a new folder")
        self.path = Path(os.path.normpath(out))
        try:
            self._check_chosen()
        except OSError as error:
            raise self._unusable(error) from error

    def _check_chosen(self) -> None:
        if self.path.is_symlink() and not self.path.exists():
            raise ArgumentError(f"--out {self.path} is a link to nothing; name a new folder")
        if not os.path.lexists(self.path):
            # Unlike lexists, this says so if the name is too long or a folder above is closed.
            with contextlib.suppress(FileNotFoundError):
                self.path.stat()
            return
        if not self.path.is_dir():
            raise ArgumentError(f"--out {self.path} is a file; name a new folder")
        if any(self.path.iterdir()):
            raise ArgumentError(
                f"--out {self.path} is not empty and would be overwritten; name a new folder"
            )

    def __enter__(self) -> Self:
        """Make the hidden folder."""
        # An existing folder may be a mount point or the working directory: it is filled, not
        # replaced.
        parent = self.path if self._chosen and self.path.is_dir() else self.path.parent
        self._made = [folder for folder in (parent, *parent.parents) if not folder.exists()]
        self._hidden = parent / f".{self.path.name}.{secrets.token_hex(4)}.partial"
        try:
            self._hidden.mkdir(parents=True)
        except OSError as error:
            self._remove_made()
            raise self._unusable(error) from error
        return self

    def _unusable(self, error: OSError) -> DataError:
        return DataError(
            f"cannot write to {self.path}: {error.strerror or error}; "
            "name another folder with --out"
        )

    def write_json(self, name: str, content: Mapping[str, Any]) -> None:
        """Write a JSON file; numbers that are not finite, which JSON cannot hold, become null."""
        text = json.dumps(_plain(content), indent=2, allow_nan=False)
        (self._hidden / name).write_text(text + "\n", encoding="utf-8")

    def write_figures(self, figures: Mapping[str, Figure]) -> None:
        """Write each figure to ``<name>.png``."""
        for name, figure in figures.items():
            plot.save(figure, self._hidden / f"{name}.png")

    def write_weights(self, model: Module, settings: Mapping[str, Any]) -> None:
        """Write ``weights.safetensors``, with the settings in its header."""
        text = {"settings": json.dumps(_plain(settings))}
        save(model.state_dict(), self._hidden / "weights.safetensors", metadata=text)

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        """Put the files in place, or remove them."""
        try:
            if kind is None:
                self._put_in_place()
        finally:
            # Gone already if it was renamed.
            shutil.rmtree(self._hidden, ignore_errors=True)
            self._remove_made()

    def saved(self) -> str:
        """Return where the files are now, and which, one a line: a terminal then breaks no name."""
        names = sorted(file.name for file in self.path.iterdir())
        return "\n  ".join([f"saved in {self.path}:", *names])

    def _put_in_place(self) -> None:
        if self.path == self._hidden.parent:
            for file in sorted(self._hidden.iterdir()):
                os.replace(file, self.path / file.name)
            return
        wanted = self.path
        for number in range(2, 1000):
            try:
                os.rename(self._hidden, self.path)
            except OSError:
                # Only a name made here is changed, when another run took it meanwhile.
                if self._chosen or not self.path.exists():
                    raise
                self.path = wanted.with_name(f"{wanted.name}-{number}")
            else:
                return
        raise DataError(f"{wanted} and a thousand names like it are taken")

    def _remove_made(self) -> None:
        """Remove the parent folders made on entering, unless they are in use now."""
        for folder in self._made:
            with contextlib.suppress(OSError):
                folder.rmdir()


def versions() -> dict[str, str]:
    """Return what a run depends on besides its settings."""
    return {
        "tinygrad_adam": __version__,
        "numpy": np.__version__,
        "python": platform.python_version(),
    }


def _now() -> str:
    return time.strftime("%Y%m%d-%H%M%S")


def _plain(value: Any) -> Any:
    if isinstance(value, Mapping):
        return {str(key): _plain(entry) for key, entry in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(entry) for entry in value]
    if isinstance(value, float):  # NumPy's float64 is one
        return float(value) if math.isfinite(value) else None
    return str(value) if isinstance(value, os.PathLike) else value
