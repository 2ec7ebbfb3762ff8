"""The most memory that a process has held."""

from __future__ import annotations

import re
from pathlib import Path


def note_peak(folder: str | Path, rank: int) -> None:
    """Write down the peak of this process, in bytes, without that of who has started it.

    Args:
        folder: For a file of each process.
        rank: Its number.
    """
    found = re.search(r"VmHWM:\s*([0-9]+) kB", Path("/proc/self/status").read_text())
    assert found is not None, "Linux says so"
    Path(folder, f"{rank}.peak").write_text(str(int(found[1]) * 1024))


def peaks(folder: str | Path) -> list[int]:
    """What the processes have written down, in their order."""
    return [int(path.read_text()) for path in sorted(Path(folder).glob("*.peak"))]
