"""Runs commands in separate processes (victims) that can be signalled, killed and waited for."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from faults import HERE, Reference, assert_exact, end_of, environment, fault_config, has_ended


@dataclass
class Victim:
    """A command in a separate process, which leads a process session and a process group.

    Args:
        harness: The harness that started it.
        pid: Its process id.
        output: The file of its standard output.
        errors: The same for standard error.
    """

    harness: ProcessHarness
    pid: int
    output: Path
    errors: Path
    status: int | None = None

    def release(self) -> None:
        """Let it run."""
        self.harness.ask({"do": "release", "pid": self.pid})

    def running(self) -> bool:
        """Whether it has not ended, at this moment."""
        if self.status is None:
            self.status = self.harness.ask({"do": "wait", "pid": self.pid, "seconds": 0})
        return self.status is None

    def wait(self, seconds: float = 60) -> int:
        """Its exit status; negative where a signal ended it. What runs longer is killed."""
        request = {"do": "wait", "pid": self.pid, "seconds": seconds}
        if self.status is None:
            self.status = self.harness.ask(request)
        if self.status is None:
            self.kill(signal.SIGKILL, group=True)
            self.status = self.harness.ask(request)
            raise AssertionError(
                f"it still runs after {seconds} s; its standard error:\n{self.stderr}"
            )
        return self.status

    def kill(self, signum: int, group: bool = False) -> None:
        """Send a signal to it, or to its group. It has ended only after :meth:`wait`."""
        (os.killpg if group else os.kill)(self.pid, signum)

    def listens(self, signum: int, seconds: float = 10) -> None:
        """Wait until it has a handler for a signal."""
        until = time.monotonic() + seconds
        while time.monotonic() < until and self.running():
            status = Path(f"/proc/{self.pid}/status").read_text()
            caught = int(status.partition("SigCgt:")[2].split()[0], 16)
            if caught >> (signum - 1) & 1:
                return
            time.sleep(0.001)

    @property
    def stdout(self) -> str:
        """What it wrote on standard output."""
        return self.output.read_text(encoding="utf-8", errors="replace")

    @property
    def stderr(self) -> str:
        """What it wrote on standard error."""
        return self.errors.read_text(encoding="utf-8", errors="replace")

    def survivors(self, seconds: float = 0) -> list[int]:
        """Processes of its process session that are still alive after so many seconds."""
        until = time.monotonic() + seconds
        while (found := session_members(self.pid)) and time.monotonic() < until:
            time.sleep(0.02)
        return found


def session_members(leader: int) -> list[int]:
    """Living processes of a process session, except its leader."""
    found = []
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            # After the name, which may hold anything: state, parent, group, session.
            state, _, _, session = path.read_text().rpartition(")")[2].split()[:4]
        except (OSError, ValueError):
            continue
        pid = int(path.parent.name)
        if int(session) == leader and pid != leader and state not in "ZX":
            found.append(pid)
    return found


class ProcessHarness:
    """Starts victims, and caches the results of undisturbed runs.

    Args:
        folder: An empty folder.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.victims = 0
        with (folder / "fork_server.txt").open("w") as log:
            self.server = subprocess.Popen(
                [sys.executable, str(HERE / "fork_server.py")],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                env={**os.environ, **environment()},
                cwd=folder,
                text=True,
            )
        self.references: dict[str, Reference] = {}

    def close(self) -> None:
        """End all."""
        self.server.communicate(timeout=30)

    def ask(self, request: Mapping[str, Any]) -> Any:
        """Send a request to the fork server, and get its answer."""
        assert self.server.stdin is not None and self.server.stdout is not None
        self.server.stdin.write(json.dumps(request) + "\n")
        self.server.stdin.flush()
        answer = self.server.stdout.readline()
        assert answer, (self.folder / "fork_server.txt").read_text()
        return json.loads(answer)

    def hold(
        self,
        folder: Path,
        *command: str,
        env: Mapping[str, str] | None = None,
        patches: Sequence[str] = (),
        files: Mapping[int, str] | None = None,
        closed: Sequence[int] = (),
        user: int | None = None,
    ) -> Victim:
        """A command that runs as soon as it is released.

        Args:
            folder: Where it runs.
            command: As ``train run``.
            env: Variables of its environment, beside the usual ones.
            patches: Names of functions of ``patches``.
            files: What stands for its standard streams, by their numbers.
            closed: The numbers of streams that it does not have.
            user: The number of the user that runs it.
        """
        self.victims += 1
        output = self.folder / f"{self.victims}.out"
        errors = self.folder / f"{self.victims}.err"
        for path in (output, errors):
            path.touch()
        pid = self.ask(
            {
                "do": "start",
                "command": command,
                "cwd": str(folder),
                "env": dict(env or {}),
                "patches": list(patches),
                "files": {1: str(output), 2: str(errors), **(files or {})},
                "closed": list(closed),
                "user": user,
            }
        )
        return Victim(self, pid, output, errors)

    def start(self, folder: Path, *command: str, **options: Any) -> Victim:
        """A command that runs."""
        victim = self.hold(folder, *command, **options)
        victim.release()
        return victim

    def run(self, folder: Path, *command: str, **options: Any) -> Victim:
        """A command that has ended."""
        victim = self.start(folder, *command, **options)
        victim.wait()
        return victim

    def made(self, folder: Path, *patches: str, **options: Any) -> Path:
        """A new session ``run`` in a folder; options are those of :func:`fault_config`."""
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "config.json").write_text(json.dumps(fault_config(**options)))
        victim = self.run(folder, "init", "config.json", "--no-preflight", patches=patches)
        assert victim.status == 0, victim.stderr
        return folder / "run"

    def reference(self, **options: Any) -> Reference:
        """An undisturbed run; options are those of :func:`fault_config`."""
        key = json.dumps(options, sort_keys=True)
        if key not in self.references:
            folder = self.folder / f"reference-{len(self.references)}"
            session = self.made(folder, **options)
            shutil.copytree(session, folder / "start")
            started = time.monotonic()
            victim = self.run(folder, "train", "run")
            seconds = time.monotonic() - started
            assert victim.status == 0, victim.stderr
            self.references[key] = Reference(folder, end_of(session), seconds)
        return self.references[key]


def finish(
    harness: ProcessHarness, session: Path, reference: Reference, quiet: bool = True
) -> Victim:
    """Resume a session without faults, and verify its final state.

    Args:
        harness: Where it runs.
        session: The session folder.
        reference: How it must end.
        quiet: Whether the session must be free of damage.
    """
    # Leftover files are removed when training resumes, so not if nothing is left to train.
    has_more = not has_ended(session, reference)
    victim = harness.run(session.parent, "train", session.name)
    assert victim.status == 0, f"resuming ended with {victim.status}:\n{victim.stderr}"
    for word in ("Traceback", *(["damage", "warning:", "error:"] if quiet else [])):
        assert word not in victim.stderr, f"resuming printed:\n{victim.stderr}"
    assert_exact(session, reference, tidy=has_more)
    return victim
