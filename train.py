"""Train a session, from its start or from where it stopped: ``python train.py SESSION_DIR``."""

import sys

from torchassistant.cli import main

if __name__ == "__main__":
    sys.exit(main(["train", *sys.argv[1:]], prog="train.py"))
