"""Other packages, imported where something first needs them."""

from __future__ import annotations

from importlib import import_module
from typing import Any

from .errors import MissingPackageError

__all__ = ["needed"]


def needed(module: str, purpose: str) -> Any:
    """Import `module`.

    Raises
    ------
    MissingPackageError
        If it is not installed; the message says what `purpose` needs, and how to get it.

    Examples
    --------
    >>> needed("numpy", "everything").__name__
    'numpy'
    """
    try:
        return import_module(module)
    except ImportError as error:
        package = module.partition(".")[0].replace("sklearn", "scikit-learn")
        raise MissingPackageError(
            f"{purpose} needs the {package} package; install it with pip install {package}"
        ) from error
