"""A process that has given up what it does not need: everything else is refused by the system."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from torchassistant.compat import confinement

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="only Linux confines")

ATTEMPTS = """
import ctypes, json, os, socket, sys, threading
sys.path[:] = json.loads(sys.argv[2])
from torchassistant.compat import confinement

folder, ways = sys.argv[1], sys.argv[3]
os.chdir(folder)
given = open("given", "r+b")
outside = open("outside")
readable = [os.path.dirname(os.__file__)]
if ways == "all":
    said = confinement.confine(2**28, 2**20, 60, readable)
else:
    ctypes.CDLL(None).prctl(38, 1, 0, 0, 0)
    if ways == "seccomp":
        one = confinement._filter_calls()
    else:
        one = confinement._restrict_files(readable)
    said = [ways] if one else []

def large():
    bytearray(2**30)

attempts = {
    "write": lambda: open("new", "w"),
    "append": lambda: open("outside", "a"),
    "cut": lambda: os.truncate("outside", 0),
    "remove": lambda: os.unlink("outside"),
    "rename": lambda: os.rename("outside", "other"),
    "folder": lambda: os.mkdir("new"),
    "link": lambda: os.symlink("outside", "new"),
    "rights": lambda: os.chmod("outside", 0o777),
    "read elsewhere": lambda: open("outside"),
    "tcp": lambda: socket.socket().connect(("127.0.0.1", 9)),
    "udp": lambda: socket.socket(type=socket.SOCK_DGRAM).sendto(b"x", ("127.0.0.1", 9)),
    "unix": lambda: socket.socketpair(),
    "fork": lambda: os.fork() or os._exit(0),
    "program": lambda: os.execv(sys.executable, [sys.executable, "-c", ""]),
    "thread": lambda: threading.Thread(target=int).start(),
    "signal": lambda: os.kill(os.getppid(), 0),
    "memory": large,
}
done = []
for name, attempt in attempts.items():
    if ways == "Landlock" and name == "fork":
        continue  # it is about files
    try:
        attempt()
        done.append(name)
    except (OSError, MemoryError, RuntimeError) as error:
        pass
given.write(b"written")
given.flush()
open(os.__file__).close()
print(json.dumps({"said": said, "done": done}), flush=True)
os._exit(0)
"""


def attempts(folder: Path, ways: str) -> dict[str, list[str]]:
    (folder / "given").write_text("")
    (folder / "outside").write_text("kept")
    done = subprocess.run(
        [sys.executable, "-c", ATTEMPTS, str(folder), json.dumps(sys.path), ways],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert (folder / "given").read_text() == "written"
    answer: dict[str, list[str]] = json.loads(done.stdout)
    return answer


def test_nothing_else_can_be_done(tmp_path: Path) -> None:
    answer = attempts(tmp_path, "all")
    if set(answer["said"]) != {confinement.LIMITS, confinement.LANDLOCK, confinement.SECCOMP}:
        pytest.skip(f"this kernel offers {answer['said']} alone")
    assert answer["done"] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "outside"]
    assert (tmp_path / "outside").read_text() == "kept"


@pytest.mark.parametrize(
    ("way", "leaves"),
    [
        # Neither takes memory away; seccomp leaves reading, Landlock what is not about files.
        (confinement.SECCOMP, {"read elsewhere", "memory"}),
        (confinement.LANDLOCK, {"udp", "unix", "thread", "memory", "rights"}),
    ],
)
def test_each_way_holds_by_itself(tmp_path: Path, way: str, leaves: set[str]) -> None:
    answer = attempts(tmp_path, way)
    if answer["said"] != [way]:
        pytest.skip(f"this kernel has no {way}")
    assert set(answer["done"]) <= leaves
    assert sorted(path.name for path in tmp_path.iterdir()) == ["given", "outside"]
    assert (tmp_path / "outside").read_text() == "kept"


def test_a_file_does_not_grow_beyond_its_limit(tmp_path: Path) -> None:
    code = (
        "import os; from torchassistant.compat.confinement import confine\n"
        "confine(2**28, 1000, 60, [])\n"
        "assert os.write(1, bytes(5000)) == 1000\n"
        "os.write(1, bytes(5000))"
    )
    path = tmp_path / "file"
    with path.open("wb") as file:
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
        done = subprocess.run(
            [sys.executable, "-c", code], stdout=file, env=environment, stderr=subprocess.DEVNULL
        )
    assert done.returncode == 1
    assert path.stat().st_size == 1000


def test_a_process_ends_with_the_one_that_started_it(tmp_path: Path) -> None:
    inner = (
        "import os, sys, time; from torchassistant.compat.confinement import end_with_parent\n"
        "end_with_parent(int(sys.argv[1])); print(os.getpid(), flush=True); time.sleep(60)"
    )
    outer = (
        "import os, subprocess, sys\n"
        "subprocess.run([sys.executable, '-c', sys.argv[1], str(os.getpid())])"
    )
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)}
    process = subprocess.Popen(
        [sys.executable, "-c", outer, inner], stdout=subprocess.PIPE, text=True, env=environment
    )
    assert process.stdout is not None
    with process, process.stdout:
        child = int(process.stdout.readline())
        process.kill()
        # Its end of the pipe closes when it has ended.
        assert process.stdout.read() == ""
    deadline = time.monotonic() + 30
    while Path(f"/proc/{child}/exe").exists() and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not Path(f"/proc/{child}/exe").exists()
