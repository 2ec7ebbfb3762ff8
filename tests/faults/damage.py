"""Loads sessions with a damaged file: what is reported, and which state is restored."""

from __future__ import annotations

import contextlib
import io
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from faults import CHECKPOINT, Tree, checkpoints_of, tree
from interruptions import SMALL, train
from process_harness import ProcessHarness
from safetensors.torch import load

from torchassistant import load_session
from torchassistant.config import as_data
from torchassistant.errors import UserError
from torchassistant.session import Session


@dataclass
class InterruptedSession:
    """A session in the middle of its second stage, and its contents before any damage.

    Args:
        session: The session folder.
        files: Its files, undamaged.
        names: Its checkpoints, the newest last.
        spec: Its config.
        history: The rows of its history.
    """

    session: Path
    files: Tree
    names: list[str]
    spec: Any
    history: Any

    def restore(self) -> list[str]:
        """Restore all files; returns the names of those that differed."""
        found = tree(self.session)
        odd = sorted(
            n for n in found.keys() | self.files.keys() if found.get(n) != self.files.get(n)
        )
        for name in odd:
            path = self.session / name
            if name in self.files:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_bytes(self.files[name])
            else:
                path.unlink()
        return odd


def interrupted_session(harness: ProcessHarness, folder: Path, *patches: str) -> InterruptedSession:
    """A session that was stopped in the second epoch of its second stage."""
    path = harness.made(folder, *patches, **SMALL)
    train(path, (11, "training"))
    session = load_session(path, trust=["fault_parts"])
    names = [checkpoint.name for checkpoint in checkpoints_of(path)]
    return InterruptedSession(path, tree(path), names, as_data(session.spec), session.history)


@dataclass
class Answer:
    """The result of loading a session: the session, or None if it was refused; and the messages."""

    session: Session | None
    messages: str


def load_it(folder: Path) -> Answer:
    """Load a session; exceptions other than :class:`UserError` propagate."""
    with contextlib.redirect_stderr(io.StringIO()) as stderr:
        try:
            session = load_session(folder, trust=["fault_parts"])
        except UserError as error:
            return Answer(None, "\n".join([*map(str, error.warnings), str(error)]))
    return Answer(session, stderr.getvalue())


def complaint(intact: InterruptedSession, name: str) -> str | None:
    """What is wrong with the reaction to a damaged file; None if nothing is.

    Args:
        intact: A session with one damaged file.
        name: That file.
    """
    try:
        answer = load_it(intact.session)
    except Exception as error:
        return f"loading raised {type(error).__name__}: {error}"
    checkpoint = name.split("/")[1] if name.startswith("checkpoints/") else ""
    called = checkpoint or Path(name).name
    old = bool(checkpoint) and checkpoint != intact.names[-1]
    if not old and called not in answer.messages:
        accepted = "refused" if answer.session is None else "accepted"
        return f"it was {accepted}, and {called} was not named: {answer.messages!r}"
    may_refuse = name.startswith("static/") or name == "environment.json"
    if answer.session is None:
        return None if may_refuse else f"it was refused: {answer.messages}"
    if name.startswith("static/"):
        return f"it was loaded: {answer.messages}"
    newest = intact.names[-2 if checkpoint == intact.names[-1] else -1]
    return wrong_state(intact, answer.session, newest)


def wrong_state(intact: InterruptedSession, session: Session, name: str) -> str | None:
    """How a loaded session differs from the checkpoint of a name; None if it does not."""
    match = CHECKPOINT.fullmatch(name)
    assert match is not None
    if session.progress.step != int(match[1]):
        return f"step {session.progress.step} was restored, not {name}"
    for model, module in session.models.items():
        stored = load(intact.files[f"checkpoints/{name}/models/{model}.safetensors"])
        live = module.state_dict()
        if stored.keys() != live.keys() or not all(
            torch.equal(live[key], tensor) for key, tensor in stored.items()
        ):
            return f'the model "{model}" is not as in {name}'
    if as_data(session.spec) != intact.spec:
        return "its spec is another one"
    rows = intact.history[intact.history["step"] <= session.progress.step]
    if not session.history.equals(rows):
        return f"its history is another one:\n{session.history}"
    return None
