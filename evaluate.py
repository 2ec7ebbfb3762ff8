"""Measure a trained session: ``python evaluate.py CONFIG_OR_SESSION_DIR``."""

import sys

from torchassistant.cli import main

if __name__ == "__main__":
    sys.exit(main(["evaluate", *sys.argv[1:]], prog="evaluate.py"))
