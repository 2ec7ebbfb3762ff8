"""``python -m torchassistant`` is the same as ``torchassistant``."""

import contextlib
import os
import sys

# Python puts the working directory first, where it may hide Python's own modules; the commands
# put it there themselves, and tell of one that is gone.
with contextlib.suppress(FileNotFoundError):
    if sys.path and os.path.realpath(sys.path[0]) == os.path.realpath(os.getcwd()):
        del sys.path[0]

from torchassistant.cli import main_console

sys.exit(main_console())
