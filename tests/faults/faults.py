"""Shared by the fault tests: the config, comparison of sessions, counting of runs.

A scenario has a quick part, in the normal suite, and a sweep with the marker ``faults``.
Environment variables control the sweep: ``FAULTS_SHARE`` (as 0.1) scales its counts,
``FAULTS_SEED`` selects other random moments, ``FAULTS_FIGURES`` names a JSON file for its figures.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import json
import os
import random
import re
import shutil
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECIPES = ROOT / "tests" / "exactness"

Config = dict[str, Any]
Tree = dict[str, bytes]
End = dict[str, Any]

# --- the config -----------------------------------------------------------------------------------


def fault_config(
    workers: int = 0,
    epochs: Sequence[int] = (3, 2),
    count: int = 24,
    every: int = 2,
    keep: int = 3,
    mode: str = "min",
    timeout: float = 0,
    listeners: bool = False,
) -> Config:
    """A config that uses every kind of object with state.

    Two models with dropout, one with batch norm too; augmentation from three generators; two
    optimizers with momentum and a third one in the second stage; a scheduler that steps with the
    iterations and one that steps with the epochs; validation with a metric; a fitted preprocessor
    and a split.

    Args:
        workers: Of the loaders.
        epochs: Of each stage.
        count: Examples; three quarters of them are trained on, in batches of 4.
        every: Iterations between checkpoints.
        keep: How many of the last checkpoints are kept, beside the best.
        mode: Which one is the best: that of the least loss, or of the most (``max``).
        timeout: Of the loaders, in seconds.
        listeners: Whether everything that measures and listens is there too.
    """
    loading = {"batch_size": 4, "num_workers": workers, "timeout": timeout}
    encoder = {"model_name": "encoder", "inputs": ["x"], "outputs": ["code"]}
    decoder = {"model_name": "decoder", "inputs": ["code"], "outputs": ["y_hat"]}
    descent = {"class": "SGD", "kwargs": {"lr": 0.05, "momentum": 0.9}}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "points": {"class": "fault_parts.Augmented", "args": [count]},
            "centred": {"link": "parts.train", "preprocessors": ["centre"]},
            "held out": {"link": "parts.val", "preprocessors": ["centre"]},
        },
        "splits": {"parts": {"dataset_name": "points", "ratio": [0.75, 0.25]}},
        "preprocessors": {"centre": {"class": "fault_parts.Centre", "fit": "parts.train"}},
        "loader_factories": {
            "training": {"dataset": "centred", "kwargs": loading},
            "checking": {"dataset": "held out", "kwargs": loading},
        },
        "models": {
            "encoder": {"class": "fault_parts.Encoder"},
            "decoder": {"class": "fault_parts.Decoder"},
        },
        "optimizers": {
            "one": {
                **descent,
                "model": "encoder",
                "lr_scheduler": {
                    "class": "ExponentialLR",
                    "kwargs": {"gamma": 0.98},
                    "interval": "step",
                },
            },
            "two": {
                "class": "Adam",
                "kwargs": {"lr": 0.01},
                "model": "decoder",
                "lr_scheduler": {"class": "StepLR", "args": [2]},
            },
            "late": {**descent, "model": "decoder"},
        },
        "losses": {"mse": {"class": "MSELoss", "inputs": ["y_hat", "y"]}},
        "metrics": {"distance": {"class": "fault_parts.LargestError", "inputs": ["y_hat", "y"]}},
        "batch_processors": {
            "early run": {
                "neural_graph": [
                    {**encoder, "optimizer_name": "one"},
                    {**decoder, "optimizer_name": "two"},
                ]
            },
            "late run": {"neural_graph": [encoder, {**decoder, "optimizer_name": "late"}]},
        },
        "batch_graphs": {"early": {"nodes": ["early run"]}, "later": {"nodes": ["late run"]}},
    }
    config: Config = {
        "session_dir": "run",
        "seed": 5,
        "device": "cpu",
        "checkpoints": {
            "every_iterations": every,
            "keep_last": keep,
            "best": {"monitor": "val loss", "mode": mode, "keep": 1},
        },
        "initialize": {
            "definitions": [
                {"group": group, "name": name, "spec": spec}
                for group, named in groups.items()
                for name, spec in named.items()
            ],
            "pipelines": {
                "fit": _pipeline("training", "early", "loss"),
                "late fit": _pipeline("training", "later", "late loss"),
                "check": {
                    **_pipeline("checking", "early", "val loss"),
                    "metrics": [{"metric_name": "distance", "display_name": "val error"}],
                },
            },
        },
        "train": {
            "stages": [
                {
                    "training_pipelines": [name],
                    "validation_pipelines": ["check"],
                    "stop_condition": {"class": "EpochsCompleted", "args": [number]},
                }
                for name, number in zip(("fit", "late fit"), epochs, strict=True)
            ]
        },
    }
    if listeners:
        _listen(config)
    return config


def _listen(config: Config) -> None:
    """Add callbacks, an evaluator, a metric that gives a tensor, rows and files of weights."""
    callbacks = {
        "keeps": "heard_parts.Keeps",
        "draws": "heard_parts.Draws",
        "adds": "heard_parts.Adds",
        "rates": "LearningRateMonitor",
        "norms": "GradientNorms",
    }
    added = [
        *(("callbacks", name, {"class": path}) for name, path in callbacks.items()),
        ("evaluators", "spread", {"class": "fault_parts.Spread"}),
        ("metrics", "errors", {"class": "fault_parts.Errors", "inputs": ["y_hat", "y"]}),
    ]
    config["initialize"]["definitions"] += [
        {"group": group, "name": name, "spec": spec} for group, name, spec in added
    ]
    errors = {"metric_name": "errors", "display_name": "val errors"}
    config["initialize"]["pipelines"]["check"]["metrics"].append(errors)
    first, second = config["train"]["stages"]
    config["train"]["callbacks"] = ["keeps", "rates", "adds", "draws"]
    second["callbacks"] = ["norms"]
    first["validate"] = {"every_iterations": 3}
    evaluator = {"evaluator": "spread", "models": {"model": "encoder"}}
    first["evaluators"] = [{**evaluator, "loader_factory": "checking"}]
    config["log"] = {"every_iterations": 2}
    best = {**config["checkpoints"]["best"], "weights_only": True}
    config["checkpoints"]["best"] = [best, {"monitor": "spread/drawn", "weights_only": True}]


def _pipeline(loader: str, graph: str, shown: str) -> Config:
    return {
        "graph": graph,
        "input_factories": [{"variable_names": ["x", "y"], "loader_factory": loader}],
        "losses": [{"loss_name": "mse", "loss_display_name": shown}],
    }


def environment() -> dict[str, str]:
    """The environment in which a command finds and trusts the objects of the config."""
    parts = ["fault_parts", "shared_parts", "examples"]
    parts += sorted(path.stem for path in RECIPES.glob("*.py"))
    return {
        "PYTHONPATH": os.pathsep.join(map(str, (HERE, ROOT, RECIPES))),
        "TORCHASSISTANT_TRUST": " ".join(parts),
        "PYTHONDONTWRITEBYTECODE": "1",
        "OMP_NUM_THREADS": "1",
    }


# --- contents of a folder ------------------------------------------------------------------------

_ROWS = re.compile(r"((steps-)?\d+|times)\.csv|\d+-\d+\.safetensors|changes\.jsonl")
_WEIGHTS = re.compile(r"weights/best(/[^/.]+(/\w+\.safetensors)?)?")
CHECKPOINT = re.compile(r"(\d{10})(?:-(\d+))?")
WALL_TIME = {"seconds", "time", "elapsed", "saved_at"}


def tree(folder: Path) -> Tree:
    """Every file below a folder."""
    return {
        path.relative_to(folder).as_posix(): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def checkpoints_of(session: Path) -> list[Path]:
    """The checkpoints of a session, the newest last."""

    def age(path: Path) -> tuple[int, int]:
        match = CHECKPOINT.fullmatch(path.name)
        assert match is not None
        return int(match[1]), int(match[2] or 0)

    found = [p for p in (session / "checkpoints").iterdir() if CHECKPOINT.fullmatch(p.name)]
    return sorted(found, key=age)


def step_of(checkpoint: Path) -> int:
    """The step of a checkpoint."""
    return int(checkpoint.name[:10])


def end_of(session: Path) -> End:
    """The final state of a run, without wall time."""
    newest = checkpoints_of(session)[-1]
    end: End = {"step": step_of(newest)}
    for name, data in tree(newest).items():
        if name.startswith(("models/", "optimizers/")) or name == "state.safetensors":
            end[name] = data
        elif name == "state.json":
            end[name] = timeless(json.loads(data))
    for folder in ("metrics", "history"):
        for name, data in tree(session / folder).items():
            if name == "times.csv":  # Wall time alone.
                continue
            is_text = not name.endswith(".safetensors")
            end[f"{folder}/{name}"] = without_seconds(data.decode()) if is_text else data
    end |= {f"weights/{name}": data for name, data in tree(session / "weights").items()}
    return end


def timeless(data: Any) -> Any:
    """JSON data without keys that depend on wall time."""
    if isinstance(data, dict):
        return {key: timeless(value) for key, value in data.items() if key not in WALL_TIME}
    if isinstance(data, list):
        return [timeless(value) for value in data]
    return data


def without_seconds(text: str) -> list[list[str]]:
    """A history, cell by cell, without its last column, ``seconds`` or ``time``."""
    rows = list(csv.reader(io.StringIO(text)))
    if rows and rows[0][-1] in ("seconds", "time"):
        return [row[:-1] for row in rows]
    return rows


def differences(found: End, expected: End) -> list[str]:
    """The names of what differs between two final states."""
    names = sorted(found.keys() | expected.keys())
    return [name for name in names if found.get(name) != expected.get(name)]


def damage_in(session: Path) -> list[str]:
    """What is wrong in a session folder. Does not use any code of the package."""
    found = []
    for checkpoint in checkpoints_of(session):
        try:
            files = json.loads((checkpoint / "manifest.json").read_text())["files"]
        except (OSError, ValueError) as error:
            found.append(f"{checkpoint.name}: {error}")
            continue
        there = {name: data for name, data in tree(checkpoint).items() if name != "manifest.json"}
        if there.keys() != files.keys():
            found.append(f"{checkpoint.name}: {sorted(there.keys() ^ files.keys())}")
        for name, data in there.items():
            expected = files.get(name, {})
            if [len(data), hashlib.sha256(data).hexdigest()] != list(expected.values()):
                found.append(f"{checkpoint.name}: {name}")
    if not checkpoints_of(session):
        found.append("there is no checkpoint")
    try:
        json.loads((session / "spec.json").read_text())
        json.loads((session / "environment.json").read_text())
    except (OSError, ValueError) as error:
        found.append(str(error))
    return found


def write_json(path: Path, data: Any) -> None:
    """Write data as JSON."""
    path.write_text(json.dumps(data))


def leftovers(session: Path) -> list[str]:
    """Files in a session folder that are not part of a session."""
    known = {"spec.json", "environment.json", "changes.jsonl"}
    known |= {"static", "checkpoints", "metrics", "history", "weights"}
    inside = {path.name for path in session.iterdir()} - known
    odd = [p.name for p in (session / "checkpoints").iterdir() if not CHECKPOINT.fullmatch(p.name)]
    rows = [
        p.name
        for folder in ("metrics", "history")
        for p in (session / folder).iterdir()
        if not _ROWS.fullmatch(p.name)
    ]
    weights = [path.relative_to(session).as_posix() for path in (session / "weights").rglob("*")]
    return sorted(inside) + odd + rows + [n for n in weights if not _WEIGHTS.fullmatch(n)]


@dataclass
class Reference:
    """The result of an undisturbed run.

    Args:
        folder: Contains the session before (``start``) and after (``run``) training.
        end: Its final state.
        seconds: How long it took.
    """

    folder: Path
    end: End
    seconds: float

    def copy(self, folder: Path) -> Path:
        """The session at its start, as ``run`` in another folder."""
        folder.mkdir(parents=True, exist_ok=True)
        return Path(shutil.copytree(self.folder / "start", folder / "run"))


def assert_valid(session: Path) -> None:
    """Every checkpoint in the folder is complete."""
    found = damage_in(session)
    assert not found, f"the folder is not valid: {found}"


def has_ended(session: Path, reference: Reference) -> bool:
    """Whether a session has the final state of an undisturbed one."""
    return not differences(end_of(session), reference.end)


def assert_exact(session: Path, reference: Reference, tidy: bool = True) -> None:
    """A session ended byte for byte like an undisturbed one; if ``tidy``, without leftovers."""
    found = differences(end_of(session), reference.end)
    assert not found, f"it ended differently: {found}"
    assert_valid(session)
    assert not (tidy and leftovers(session)), f"left over: {leftovers(session)}"


# --- counting -------------------------------------------------------------------------------------


def counted(full: int) -> int:
    """A count of the sweep, scaled by ``FAULTS_SHARE``."""
    return max(1, round(full * float(os.environ.get("FAULTS_SHARE", "1"))))


def rng_for(*seed: Any) -> random.Random:
    """A random generator that is seeded by names."""
    return random.Random(repr((os.environ.get("FAULTS_SEED", "0"), *seed)))


@dataclass
class Tally:
    """Counts the runs of a scenario, and keeps what failed.

    Args:
        scenario: Its name.
    """

    scenario: str
    runs: int = 0
    failures: list[str] = field(default_factory=list)
    started: float = field(default_factory=time.monotonic)

    @contextmanager
    def run(self, what: str) -> Iterator[None]:
        """One run; a failed check does not end the scenario."""
        self.runs += 1
        try:
            yield
        except AssertionError as error:
            self.failures.append(f"{what}: {error}")

    def note(self, what: str, complaint: str | None) -> None:
        """A finished run, and what is wrong with it, if anything."""
        self.runs += 1
        if complaint is not None:
            self.failures.append(f"{what}: {complaint}")

    def close(self) -> None:
        """Add the figures to the file that ``FAULTS_FIGURES`` names; fail if a run failed."""
        if path := os.environ.get("FAULTS_FIGURES"):
            self._write(Path(path))
        shown = "\n\n".join(self.failures[:10])
        assert not self.failures, f"{len(self.failures)} of {self.runs} runs failed:\n{shown}"

    def _write(self, path: Path) -> None:
        with path.open("a+") as file:
            fcntl.lockf(file, fcntl.LOCK_EX)
            file.seek(0)
            figures = json.loads(file.read() or "[]")
            figures.append(
                {
                    "scenario": self.scenario,
                    "runs": self.runs,
                    "failures": len(self.failures),
                    "seconds": round(time.monotonic() - self.started, 1),
                }
            )
            file.truncate(0)
            file.write(json.dumps(figures, indent=1) + "\n")


@contextmanager
def tallied(scenario: str) -> Iterator[Tally]:
    """A tally that is closed at the end."""
    tally = Tally(scenario)
    yield tally
    tally.close()
