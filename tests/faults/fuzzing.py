"""Fuzzing: recipes are drawn, and tried in another process, which may crash, hang or grow.

A recipe is plain data, so it can be stored and replayed. Environment variables control it:

- ``FUZZ_SECONDS``: how long all fuzzers of ``make test-faults`` take together (600);
- ``FUZZ_SEED``: the seed; drawn and printed if not given;
- ``FUZZ_FAILURES``: the folder for failing recipes (``fuzz-failures``);
- ``FUZZ_REPLAY``: a file of that folder: nothing else is tried.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import select
import subprocess
import sys
import time
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

import hypothesis
from faults import HERE, ROOT, Tally, environment
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

Recipe = dict[str, Any]

PATIENCE = 60
"""Seconds after which a recipe counts as hanging, on a busy machine."""
AT_ONCE = 100
"""So many recipes are drawn from one seed."""
SHRINKING = 20
"""Seconds for minimizing a failing recipe."""
ENOUGH = 20
"""Different failures after which the fuzzer stops."""


def seconds(share: float) -> float:
    """How long a fuzzer takes that has a share of all the time."""
    return share * float(os.environ.get("FUZZ_SECONDS", "600"))


class TargetProcess:
    """A process in which recipes are tried; it is restarted if it ends.

    Args:
        kind: Of the targets of ``fuzz_targets.py``.
        folder: It may write there.
    """

    def __init__(self, kind: str, folder: Path) -> None:
        self.kind = kind
        self.folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> TargetProcess:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        at: TracebackType | None,
    ) -> None:
        self.end()

    def complaint(self, recipe: Recipe) -> str | None:
        """What is wrong with the reaction to a recipe; None if nothing is."""
        process = self._started()
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(json.dumps(recipe).encode() + b"\n")
        process.stdin.flush()
        ready, _, _ = select.select([process.stdout], [], [], PATIENCE)
        line = process.stdout.readline() if ready else b""
        if line:
            found: str | None = json.loads(line)
            return found
        if not ready:
            self.end()
            return f"it takes more than {PATIENCE} s"
        status = process.wait()
        self.end()
        return f"the process ended with status {status}"

    def end(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.communicate()
            self._process = None

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            self.folder.mkdir(exist_ok=True)
            with (self.folder / "stderr.txt").open("ab") as log:
                self._process = subprocess.Popen(
                    [sys.executable, str(HERE / "fuzz_targets.py"), self.kind, str(self.folder)],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    stderr=log,
                    env={**os.environ, **environment()},
                    cwd=self.folder,
                )
            assert self._process.stdout is not None
            assert self._process.stdout.readline() == b"ready\n", "see stderr.txt"
        return self._process


@dataclass
class Fuzzer:
    """Draws recipes until the time is over, and stores those that fail.

    Args:
        kind: Of the targets of ``fuzz_targets.py``.
        recipes: What is drawn.
        folder: Targets may write there.
    """

    kind: str
    recipes: st.SearchStrategy[Recipe]
    folder: Path
    failures: dict[str, Recipe] = field(default_factory=dict)
    runs: int = 0

    def run(self, budget: float, seed: int | None = None) -> None:
        """Try recipes for so many seconds; fails with all failures found."""
        tally = Tally(f"fuzzing: {self.kind}")
        with TargetProcess(self.kind, self.folder) as target:
            if replay := os.environ.get("FUZZ_REPLAY"):
                recipe = json.loads(Path(replay).read_text())
                tally.note(replay, target.complaint(recipe))
                return tally.close()
            given_seed = os.environ.get("FUZZ_SEED")
            if seed is None:
                seed = int(given_seed) if given_seed else secrets.randbits(32)
            print(f"FUZZ_SEED={seed} for {self.kind}", file=sys.stderr)
            until = time.monotonic() + budget
            while time.monotonic() < until and len(self.failures) < ENOUGH:
                self._some(target, seed, until)
                seed += 1
        print(f"{self.runs} runs", file=sys.stderr)
        for complaint, recipe in self.failures.items():
            tally.note(f"FUZZ_REPLAY={_kept(self.kind, recipe)}", complaint)
        tally.runs = self.runs
        tally.close()

    def _some(self, target: TargetProcess, seed: int, until: float) -> None:
        """Try some recipes of one seed; the first new failure is minimized."""
        failed: list[tuple[str, Recipe]] = []
        times: list[float] = []

        def attempt(recipe: Recipe) -> None:
            # The rest of a seed costs nothing when the time is over, and neither does shrinking.
            if time.monotonic() > (times[0] if times else until):
                return
            self.runs += 1
            found = target.complaint(recipe)
            if found is not None and found not in self.failures:
                failed.append((found, recipe))
                times.append(time.monotonic() + SHRINKING)
                raise AssertionError(found)

        drawn = settings(
            max_examples=AT_ONCE,
            database=None,
            deadline=None,
            phases=(Phase.generate, Phase.shrink),
            suppress_health_check=list(HealthCheck),
            report_multiple_bugs=False,
        )
        try:
            hypothesis.seed(seed)(drawn(given(self.recipes)(attempt)))()
        except (AssertionError, hypothesis.errors.Flaky):
            complaint, recipe = min(failed, key=lambda found: len(json.dumps(found[1])))
            self.failures[complaint] = recipe


def _kept(kind: str, recipe: Recipe) -> Path:
    """The file in which a recipe is stored."""
    folder = Path(os.environ.get("FUZZ_FAILURES") or ROOT / "fuzz-failures")
    folder.mkdir(exist_ok=True)
    text = json.dumps(recipe)
    path = folder / f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:12]}.json"
    path.write_text(text)
    return path


# What is drawn

WORDS = [
    *("", "x", "y", "net", "data", "fit", "loss", "parts.train", "parts[9]", "class", "args"),
    *("${x}", "${env:HOME}", "$${", "\ud800", "a\nb", "\x1b[31m", "\x00", "../up", "/dev/zero"),
    *("é" * 300, "torch.nn.Linear", "torch.nn.utils.rnn.bind", "os.system", "builtins.eval"),
    *("torchassistant.output_devices.JsonLines", "SGD", "EpochsCompleted", "cuda", "auto", "1e9"),
    *("|O", "torch.float32", "tensor", "array", "list", "dict", "F32", "I64", "BOOL"),
]
NUMBERS = [0, -1, 1, 2, 7, 2**31, 2**62, 2**63, 10**30, -(10**30), 0.5, 1e308, -0.0]
LEAVES = (
    st.none()
    | st.booleans()
    | st.sampled_from(NUMBERS)
    | st.integers(-3, 9)
    | st.sampled_from(WORDS)
    | st.text(max_size=4)
)
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(st.sampled_from(WORDS) | st.text(max_size=3), inner, max_size=3)
    ),
    max_leaves=8,
)
PLACES = st.integers(0, 10**6)

DATA_EDITS = st.one_of(
    st.tuples(st.just("put"), PLACES, TREES),
    st.tuples(st.just("put"), PLACES, LEAVES),
    st.tuples(st.just("copy"), PLACES, PLACES),
    st.tuples(st.just("drop"), PLACES, st.none()),
    st.tuples(st.just("double"), PLACES, st.sampled_from([1, 1, 1, 1, 1, 1, 1, 300])),
    st.tuples(st.just("rename"), PLACES, st.sampled_from(WORDS)),
    st.tuples(st.just("deep"), PLACES, st.sampled_from([1, 2, 3, 60, 150, 900, 5000])),
)
TEXT_EDITS = st.tuples(
    st.just("text"),
    PLACES,
    st.tuples(
        st.integers(0, 40),
        st.sampled_from(["", '"', "{", "[", "]", ",", "//", "/*", "NaN", "1e999", "\\u", "\x00"])
        | st.text(max_size=3),
    ),
)
LINE_EDITS = st.tuples(st.just("line"), PLACES, PLACES)


def configs(sources: list[str], hows: list[str]) -> st.SearchStrategy[Recipe]:
    """Configs with edits, as data or as text.

    Args:
        sources: Names of configs that are right.
        hows: What is done with them.
    """
    return st.fixed_dictionaries(
        {
            "source": st.sampled_from(sources),
            "how": st.sampled_from(hows),
            "edits": st.lists(DATA_EDITS, max_size=4),
            "texts": st.lists(TEXT_EDITS | LINE_EDITS, max_size=2),
        }
    )


FILE_EDITS = st.one_of(
    st.tuples(st.just("flip"), PLACES, PLACES),
    st.tuples(st.just("bytes"), PLACES, st.tuples(PLACES, st.integers(0, 2**64 - 1))),
    st.tuples(st.just("cut"), PLACES, PLACES),
    st.tuples(st.just("add"), PLACES, st.integers(1, 99)),
    st.tuples(
        st.just("replace"),
        PLACES,
        st.sampled_from(
            ["link", "device", "dangling", "fifo", "folder", "missing", "hard", "sparse", "mode"]
        ),
    ),
    st.tuples(st.just("swap"), PLACES, PLACES),
    st.tuples(st.just("stray"), PLACES, st.sampled_from(["._norm.json", "x", "9.csv", "é"])),
    st.tuples(st.just("within"), PLACES, DATA_EDITS),
)


def folders() -> st.SearchStrategy[Recipe]:
    """Folders with edits of their files, and whether their digests are updated to match."""
    return st.fixed_dictionaries(
        {
            "how": st.integers(0, 9),
            "digests": st.booleans(),
            "edits": st.lists(FILE_EDITS, min_size=1, max_size=4),
        }
    )
