"""A process that trains a session, and writes down how much memory it held, but for its code.

``torchrun … rank_memory.py SESSION FOLDER`` leaves ``RANK.held``, bytes, in the folder. What is
mapped from files is not counted, as the system takes that back when it likes.
"""

from __future__ import annotations

import os
import re
import sys
import threading
from pathlib import Path

import torch.distributed.fsdp
import torch.distributed.tensor  # noqa: F401  (memory of its own)

import torchassistant.session  # noqa: F401
from torchassistant.cli import main


def _held() -> int:
    found = re.search(r"RssAnon:\s*([0-9]+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "Linux says so"
    return int(found[1]) * 1024


def _watched(session: str, folder: str) -> int:
    before = most = _held()
    is_done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not is_done.wait(0.002):
            most = max(most, _held())

    watcher = threading.Thread(target=watch)
    watcher.start()
    try:
        return main(["train", session], prog="train.py")
    finally:
        is_done.set()
        watcher.join()
        Path(folder, f"{os.environ['RANK']}.held").write_text(str(most - before))


if __name__ == "__main__":
    sys.exit(_watched(*sys.argv[1:]))
