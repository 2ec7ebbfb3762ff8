"""``python -m torchassistant`` is the same as ``torchassistant``."""

import sys

from torchassistant.cli import main_console

sys.exit(main_console())
