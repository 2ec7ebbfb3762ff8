"""Whole commands, beside scripts that do the same: from the command to its end."""

from __future__ import annotations

import json
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from benchmarks.alternation import models_of, same, seeds_of
from benchmarks.figures import Figure, ratio
from benchmarks.plain import ByHand
from benchmarks.processes import ROOT, by_hand, python, seconds_of, train_py
from benchmarks.tasks import Task, lenet
from benchmarks.workloads.lenet5 import write_mnist
from torchassistant import create_session, load_session
from torchassistant.session import Session

EPOCHS = 3
SCRIPT = "a script by hand, with a bar"
DIGITS = ROOT / "examples" / "digits"

Pair = Callable[[Path], tuple[Sequence[str], Sequence[str]]]
"""Makes what two commands need in a folder, and gives both."""


def measure(quick: bool) -> list[Figure]:
    """Train anew and from a checkpoint, evaluate, infer."""
    images, pairs = (320, 1) if quick else (3_200, 5)
    with tempfile.TemporaryDirectory() as folder:
        write_mnist(Path(folder), images)
        task = lenet(folder)
        title = f"train.py, LeNet-5, {EPOCHS} epochs"
        figures = [_lenet(task, title, 0, pairs), _lenet(task, f"{title}, resumed", 1, pairs)]
    return [*figures, *_digits(pairs)]


def _lenet(task: Task, what: str, done: int, pairs: int) -> Figure:
    """One run by both, after so many epochs that are done already."""
    ours, theirs, identical = [], [], True
    # The first pair warms up.
    for _ in range(pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            one, other, equal = _one_pair(task, Path(folder), done)
        ours.append(one)
        theirs.append(other)
        identical &= equal
    return ratio(what, SCRIPT, ours[1:], theirs[1:], sides="s", identical=identical, at_most=1.0)


def _one_pair(task: Task, folder: Path, done: int) -> tuple[float, float, bool]:
    """The seconds of both, and whether they end with the same weights."""
    path, start, end, order = (folder / n for n in ("session", "start", "end", "order.json"))
    session = create_session(task.config(EPOCHS), path, trust=["benchmarks"])
    seed_of = seeds_of(session)
    hand = ByHand(task, models_of(session, task), seed_of)
    for epoch in range(done):
        hand.epoch(epoch)
    hand.save(start)
    if done:
        _cut_after(session, done)
    said = {"task": asdict(task), "epochs": EPOCHS, "done": done, "start": str(start)}
    seeds = [seed_of(epoch) for epoch in range(EPOCHS)]
    order.write_text(json.dumps({**said, "end": str(end), "seeds": seeds}))
    seconds = seconds_of(train_py(path)), seconds_of(by_hand(order))
    trained = ByHand(task)
    trained.load(end)
    session = load_session(path, trust=["benchmarks"])
    return *seconds, same(session, task.names, trained.modules)


def _cut_after(session: Session, epochs: int) -> None:
    """As if the process had been killed after so many epochs: later checkpoints are not there."""
    session.train()
    for name in session.folder.storage.names()[epochs:]:
        shutil.rmtree(session.folder.storage.path(name))


def _digits(pairs: int) -> list[Figure]:
    """The example, beside its script."""
    with tempfile.TemporaryDirectory() as folder:
        trained = Path(folder, "session")
        create_session(DIGITS / "training.json", trained).train()
        subprocess.run(_script("train", folder), cwd=ROOT, check=True, stderr=subprocess.DEVNULL)
        picture = str(DIGITS / "digit.png")
        here = ["--set", f"session_dir={trained}"]
        evaluate = python("evaluate.py", str(DIGITS / "evaluation.json"), *here)
        infer = python("infer.py", str(DIGITS / "inference.json"), picture, *here)
        commands: dict[str, Pair] = {
            "train.py, examples/digits": _training,
            "evaluate.py, examples/digits": lambda _: (evaluate, _script("evaluate", folder)),
            "infer.py, examples/digits": lambda _: (infer, _script("infer", folder, picture)),
        }
        return [_paired(what, pair, pairs) for what, pair in commands.items()]


def _training(folder: Path) -> tuple[Sequence[str], Sequence[str]]:
    session = folder / "session"
    create_session(DIGITS / "training.json", session)
    return python("train.py", str(session)), _script("train", folder)


def _script(command: str, folder: object, *more: str) -> list[str]:
    return python("-m", "benchmarks.digits_by_hand", command, str(folder), *more)


def _paired(what: str, pair: Pair, pairs: int) -> Figure:
    """The ratio of two commands in alternation; a first pair warms up."""
    ours, theirs = [], []
    for _ in range(pairs + 1):
        with tempfile.TemporaryDirectory() as folder:
            one, other = pair(Path(folder))
            ours.append(seconds_of(one))
            theirs.append(seconds_of(other))
    return ratio(what, SCRIPT, ours[1:], theirs[1:], sides="s", at_most=1.0)
