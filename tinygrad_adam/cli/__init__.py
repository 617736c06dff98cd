"""The command line: ``tinygrad-adam train`` and ``tinygrad-adam compare``.

`jobs` holds the three ready-made trainings with their `models` and `optimizers`, `race` the
optimisers against each other, `folder` what a run leaves behind, and `commands` the arguments.
"""

from .commands import main

__all__ = ["main"]
