"""For ``check``: what libraries write as they go is put where it is taken away again."""

from __future__ import annotations

import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_COMPILERS = ("CUDA_CACHE_PATH", "TORCHINDUCTOR_CACHE_DIR", "TRITON_CACHE_DIR")
"""Variables that say where torch's compilers keep what they have compiled."""


@contextmanager
def leaving_no_trace(runs: bool) -> Iterator[None]:
    """Keep Python, torch's compilers and matplotlib from writing anything that stays.

    It has to begin before torch is imported, and is for a process that only looks at a config.

    Args:
        runs: Whether a batch is run, for which something may be compiled.
    """
    sys.dont_write_bytecode = True
    if not runs:
        yield
        return
    before_temporary = tempfile.tempdir
    changed = {"PYTHONDONTWRITEBYTECODE": "1"}
    try:
        folder = tempfile.mkdtemp(prefix="torchassistant-check-")
    except OSError:  # nothing may be written anywhere: then nothing is
        folder = ""
    else:
        changed |= {name: os.path.join(folder, name.lower()) for name in _COMPILERS}
        # Some of what is compiled goes to where temporary files go, whatever else is said.
        changed["TMPDIR"] = tempfile.tempdir = folder
        if not _has_fonts():
            changed["MPLCONFIGDIR"] = os.path.join(folder, "matplotlib")
    before = {name: os.environ.get(name) for name in changed}
    os.environ.update(changed)
    try:
        yield
    finally:
        tempfile.tempdir = before_temporary
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value
        shutil.rmtree(folder, ignore_errors=True)


def _has_fonts() -> bool:
    """Whether matplotlib has written its list of fonts, which takes seconds to make."""
    if "MPLCONFIGDIR" in os.environ:
        base = Path(os.environ["MPLCONFIGDIR"])
    else:
        base = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "matplotlib")
    return any(base.glob("fontlist-*.json"))
