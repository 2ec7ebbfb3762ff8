"""An error or a kill at every system call of a save, injected by strace."""

from __future__ import annotations

import contextlib
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest
from faults import Reference, Tally, assert_valid, checkpoints_of, counted, rng_for, tallied
from interruptions import train
from patches import PADDING
from process_harness import ProcessHarness, Victim, finish

CALLS = (
    *("write", "pwrite64", "writev", "sendfile", "copy_file_range", "ftruncate", "fallocate"),
    *("fsync", "fdatasync", "rename", "renameat", "renameat2", "link", "linkat"),
    *("open", "openat", "mkdir", "mkdirat", "unlink", "unlinkat", "rmdir"),
)
SAVING = re.compile(r"write|pwrite64|fsync|fdatasync|rename\w*|mkdir\w*|open\w*")
TIDYING = re.compile(r"unlink\w*|rmdir")
ERRORS = {"ENOSPC": "No space left on device", "EIO": "Input/output error"}

ONE_SAVE = {"count": 16, "epochs": [1, 1], "every": 100, "keep": 1, "mode": "max"}
"""Two stages of one epoch of three iterations; a checkpoint after each, the first is the best."""


@dataclass(frozen=True)
class Call:
    """A system call that concerns the session.

    Args:
        name: The function.
        number: Its number among the calls of this name in its thread, from 1.
        text: As strace shows it.
        main: Whether the main thread made it.
    """

    name: str
    number: int
    text: str
    main: bool

    @property
    def opens_to_read(self) -> bool:
        """Whether a file or a folder is opened, and is not written."""
        return self.name in ("open", "openat") and not re.search("O_WRONLY|O_RDWR", self.text)

    @property
    def saves(self) -> bool:
        """Whether the new checkpoint cannot be saved without it."""
        return not (self.main or self.opens_to_read) and SAVING.fullmatch(self.name) is not None

    @property
    def may_be_silent(self) -> bool:
        """Whether it removes something, or reads a file that is not part of the new checkpoint."""
        looks = self.opens_to_read and "O_DIRECTORY" not in self.text and ".aside-" not in self.text
        return looks or TIDYING.fullmatch(self.name) is not None


@pytest.fixture(scope="module")
def strace(harness: ProcessHarness) -> None:
    """Skips where strace does not work."""
    if shutil.which("strace") is None:
        pytest.skip("strace is not installed")
    probe = ["strace", "-qq", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=1..2", "true"]
    done = subprocess.run(probe, capture_output=True, text=True, check=False)
    if done.returncode:
        pytest.skip(f"strace does not work here: {done.stderr.strip()}")


@contextlib.contextmanager
def traced(victim: Victim, log: Path, *options: str) -> Iterator[None]:
    """Attach strace to a victim that is held, until the victim ends."""
    command = ["strace", "-f", "-ff", "-qq", "-y", "-s", "0", "-o", str(log), "-p", str(victim.pid)]
    with subprocess.Popen([*command, "-e", f"trace={','.join(CALLS)}", *options]) as process:
        status = Path(f"/proc/{victim.pid}/status")
        while "TracerPid:\t0\n" in status.read_text():
            assert process.poll() is None, "strace cannot attach"
            time.sleep(0.002)
        yield


def calls_of(log: Path, victim: Victim, session: Path) -> list[Call]:
    """The calls in the logs of strace, one file a thread, that name the session."""
    found = []
    for path in sorted(log.parent.glob(f"{log.name}.*")):
        counts: dict[str, int] = {}
        for line in path.read_text(errors="replace").splitlines():
            name = line.partition("(")[0]
            counts[name] = counts.get(name, 0) + 1
            if str(session) in line:
                main = path.suffix == f".{victim.pid}"
                found.append(Call(name, counts[name], line, main))
    return found


def traced_run(
    harness: ProcessHarness, session: Path, log: Path, *options: str
) -> tuple[Victim, list[Call]]:
    """Train under strace; the calls that name the session."""
    moved = ("writing_by_writev", "opening_many_files")
    victim = harness.hold(session.parent, "train", str(session), patches=moved)
    with traced(victim, log, *options):
        victim.release()
        victim.wait(120)
    return victim, calls_of(log, victim, session.resolve())


@dataclass(frozen=True)
class Scene:
    """A session that has one iteration, one validation and one save to go.

    Args:
        harness: Starts the victims.
        reference: How the run must end.
        begun: The session; copies of it are trained.
        kept: The names of its last checkpoints.
        calls: The system calls of the save, one of each name and number.
    """

    harness: ProcessHarness
    reference: Reference
    begun: Path
    kept: Sequence[str]
    calls: Sequence[Call]


def scene_in(harness: ProcessHarness, folder: Path) -> Scene:
    """Train without a fault, to record the system calls."""
    reference = harness.reference(**ONE_SAVE)
    begun = reference.copy(folder / "begun")
    train(begun, (5, "training"))
    (folder / "dry").mkdir()
    session = Path(shutil.copytree(begun, folder / "dry" / "run"))
    victim, calls = traced_run(harness, session, folder / "dry" / "log")
    assert victim.status == 0, victim.stderr
    chosen = {
        (call.name, call.number): call
        for call in calls
        if not (call.main and call.opens_to_read) and " = -1 " not in call.text
    }
    kept = [path.name for path in checkpoints_of(session)]
    return Scene(harness, reference, begun, kept, list(chosen.values()))


def injected(scene: Scene, folder: Path, call: Call, fault: str) -> None:
    """Train with a fault at a call, and then to the end.

    Args:
        scene: What is trained.
        folder: For the copy.
        call: Which call fails, in every thread that makes so many.
        fault: ``EIO``, ``ENOSPC``, ``EIO ever``, ``ENOSPC ever`` or ``SIGKILL``.
    """
    folder.mkdir()
    session = Path(shutil.copytree(scene.begun, folder / "run"))
    name, _, ever = fault.partition(" ")
    last = PADDING if call.number <= PADDING else 100 * PADDING
    when = f"{call.number}..{last}" if ever else str(call.number)
    kind = f"signal={name}" if name == "SIGKILL" else f"error={name}"
    option = f"inject={call.name}:{kind}:when={when}"
    victim, calls = traced_run(scene.harness, session, folder / "log", "-e", option)
    assert_valid(session)
    if name == "SIGKILL":
        assert victim.status == -signal.SIGKILL, f"status {victim.status}:\n{victim.stderr}"
    else:
        hit = [one for one in calls if "(INJECTED)" in one.text]
        assert hit, f"nothing was hit:\n{victim.stderr}"
        assert_reported(victim, hit, ERRORS[name])
        found = {path.name for path in checkpoints_of(session)}
        lost = set(scene.kept) - found
        assert victim.status or not lost, f"{sorted(lost)} would have been kept:\n{victim.stderr}"
    finish(scene.harness, session, scene.reference)


def assert_reported(victim: Victim, hit: list[Call], error: str) -> None:
    """The failure was reported, and the exit status reflects it."""
    assert victim.status in (0, 1, 2), f"status {victim.status}:\n{victim.stderr}"
    # If no file can be opened any more, exit handlers of libraries fail too, after our messages.
    before_exit = victim.stderr.partition("Exception ignored in atexit callback")[0]
    assert "Traceback" not in before_exit, victim.stderr
    if victim.status or not all(one.may_be_silent for one in hit):
        assert error in victim.stderr, f"status {victim.status}, not reported:\n{victim.stderr}"
    if any(one.saves for one in hit):
        assert victim.status == 1, f"status {victim.status}:\n{victim.stderr}"


FAULTS = ("ENOSPC", "EIO", "ENOSPC ever", "EIO ever", "SIGKILL")


def injections(
    harness: ProcessHarness,
    folder: Path,
    tally: Tally,
    faults: Sequence[str],
    most: int | None = None,
) -> None:
    """Every fault at every system call of a save, or at ``most`` of them."""
    scene = scene_in(harness, folder)
    for fault in faults:
        count = most or counted(len(scene.calls))
        for number, call in enumerate(rng_for("injections", fault).sample(scene.calls, count)):
            with tally.run(f"{fault} at {call.name} {call.number}: {call.text}"):
                injected(scene, folder / f"{fault} {number}", call, fault)


def test_some_injections(harness: ProcessHarness, tmp_path: Path, strace: None) -> None:
    tally = Tally("some injections")
    injections(harness, tmp_path, tally, FAULTS, 1)
    tally.close()


@pytest.mark.faults
@pytest.mark.parametrize("fault", FAULTS)
def test_injections(harness: ProcessHarness, tmp_path: Path, strace: None, fault: str) -> None:
    with tallied(f"{fault} at every system call of a save") as tally:
        injections(harness, tmp_path, tally, [fault])
