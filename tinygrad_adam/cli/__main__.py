"""``python -m tinygrad_adam.cli``, for where the command is not on the path."""

import sys

from .commands import main

sys.exit(main())
