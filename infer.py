"""Predict with a trained session: ``python infer.py CONFIG_OR_SESSION_DIR INPUT...``."""

import sys

from torchassistant.cli import main

if __name__ == "__main__":
    sys.exit(main(["infer", *sys.argv[1:]], prog="infer.py"))
