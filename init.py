"""Make a session folder from a config: ``python init.py CONFIG``."""

import sys

from torchassistant.cli import main

if __name__ == "__main__":
    sys.exit(main(["init", *sys.argv[1:]], prog="init.py"))
