"""A session that something in it was changed in: what loading it says, and what it gives."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from cuts import SMALL, trained
from faults import CHECKPOINT, Tree, checkpoints_of, tree
from process_harness import ProcessHarness
from safetensors.torch import load

from torchassistant import load_session
from torchassistant.config import as_data
from torchassistant.errors import UserError
from torchassistant.session import Session


@dataclass
class Patient:
    """A session in the middle of its second stage, and what it holds when it is well.

    Args:
        session: The session folder.
        whole: Its files.
        names: Its checkpoints, the newest last.
        spec: Its config.
        history: The rows of its history.
    """

    session: Path
    whole: Tree
    names: list[str]
    spec: Any
    history: Any

    def mend(self) -> list[str]:
        """Put everything back; gives the names of the files that were not as they should be."""
        found = tree(self.session)
        odd = sorted(
            n for n in found.keys() | self.whole.keys() if found.get(n) != self.whole.get(n)
        )
        for name in odd:
            path = self.session / name
            if name in self.whole:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.whole[name])
            else:
                path.unlink()
        return odd


def patient(harness: ProcessHarness, folder: Path, *patches: str) -> Patient:
    """A session that was stopped in the second epoch of its second stage."""
    path = harness.made(folder, *patches, **SMALL)
    trained(path, (11, "training"))
    session = load_session(path, trust=["fault_parts"])
    names = [checkpoint.name for checkpoint in checkpoints_of(path)]
    return Patient(path, tree(path), names, as_data(session.spec), session.history)


@dataclass
class Answer:
    """What loading a session gave: the session, or why it was refused; and what was told."""

    session: Session | None
    told: str


def load_it(folder: Path) -> Answer:
    """Load a session; whatever is raised but a :class:`UserError` goes on."""
    with contextlib.redirect_stderr(io.StringIO()) as told:
        try:
            session = load_session(folder, trust=["fault_parts"])
        except UserError as error:
            return Answer(None, "\n".join([*map(str, error.warnings), str(error)]))
    return Answer(session, told.getvalue())


def complaint(patient: Patient, name: str) -> str | None:
    """What is wrong with how a changed file was answered; None where nothing is.

    Args:
        patient: A session with one file that is not as it was.
        name: That file.
    """
    try:
        answer = load_it(patient.session)
    except Exception as error:
        return f"loading raised {type(error).__name__}: {error}"
    checkpoint = name.split("/")[1] if name.startswith("checkpoints/") else ""
    called = checkpoint or Path(name).name
    old = bool(checkpoint) and checkpoint != patient.names[-1]
    if not old and called not in answer.told:
        accepted = "refused" if answer.session is None else "accepted"
        return f"it was {accepted}, and {called} was not named: {answer.told!r}"
    may_refuse = name.startswith("static/") or name == "environment.json"
    if answer.session is None:
        return None if may_refuse else f"it was refused: {answer.told}"
    if name.startswith("static/"):
        return f"it was loaded: {answer.told}"
    newest = patient.names[-2 if checkpoint == patient.names[-1] else -1]
    return wrong_state(patient, answer.session, newest)


def wrong_state(patient: Patient, session: Session, name: str) -> str | None:
    """What a loaded session has otherwise than the checkpoint of a name."""
    match = CHECKPOINT.fullmatch(name)
    assert match is not None
    if session.progress.step != int(match[1]):
        return f"step {session.progress.step} was restored, not {name}"
    for model, module in session.models.items():
        stored = load(patient.whole[f"checkpoints/{name}/models/{model}.safetensors"])
        live = module.state_dict()
        if stored.keys() != live.keys() or not all(
            torch.equal(live[key], tensor) for key, tensor in stored.items()
        ):
            return f'the model "{model}" is not as in {name}'
    if as_data(session.spec) != patient.spec:
        return "its spec is another one"
    rows = patient.history[patient.history["step"] <= session.progress.step]
    if not session.history.equals(rows):
        return f"its history is another one:\n{session.history}"
    return None
