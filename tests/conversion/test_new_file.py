"""A file is there whole, or not at all."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from torchassistant.conversion.new_file import new_file


def test_it_appears_at_the_end(tmp_path: Path) -> None:
    path = tmp_path / "file"
    with new_file(path) as handle:
        os.write(handle, b"whole")
        assert not path.exists()
    assert path.read_bytes() == b"whole"
    assert path.stat().st_mode & 0o777 == 0o644
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.parametrize("has_nameless", [True, False])
def test_what_fails_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_nameless: bool
) -> None:
    if not has_nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    with pytest.raises(ZeroDivisionError), new_file(tmp_path / "file") as handle:
        os.write(handle, b"half")
        raise ZeroDivisionError
    assert [*tmp_path.iterdir()] == []


@pytest.mark.parametrize("has_nameless", [True, False])
def test_what_is_there_stays_unless_it_is_to_be_replaced(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, has_nameless: bool
) -> None:
    if not has_nameless:
        monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    path = tmp_path / "file"
    path.write_bytes(b"old")
    with pytest.raises(FileExistsError), new_file(path) as handle:
        os.write(handle, b"new")
    assert path.read_bytes() == b"old"
    with new_file(path, replace=True) as handle:
        os.write(handle, b"new")
        assert path.read_bytes() == b"old"
    assert path.read_bytes() == b"new"
    assert [*tmp_path.iterdir()] == [path]


@pytest.mark.skipif(not hasattr(os, "O_TMPFILE"), reason="files have names from the start here")
def test_who_is_killed_leaves_nothing(tmp_path: Path) -> None:
    code = (
        "import os, signal; from pathlib import Path\n"
        "from torchassistant.conversion.new_file import new_file\n"
        "with new_file(Path('file')) as handle:\n"
        "    os.write(handle, b'half')\n"
        "    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, env=environment)
    assert done.returncode == -signal.SIGKILL
    assert [*tmp_path.iterdir()] == []
