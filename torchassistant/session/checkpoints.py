"""Checkpoints: the state of a run at a step, verified whenever it is read."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch

from torchassistant.errors import SessionError, listing, shown_path
from torchassistant.messages import logger_for
from torchassistant.session.append_only_logs import texts_of
from torchassistant.session.checkpoint_bundle import CheckpointBundle
from torchassistant.session.durable_files import (
    clear_aside,
    new_folder,
    remove_folder,
)
from torchassistant.session.manifest import (
    Damaged,
    Fingerprints,
    LaterFormat,
    Manifest,
    read_manifest,
    sealed,
    write_manifest,
)
from torchassistant.session.state_schema import expect_form, stored_state, stored_tensors

_log = logger_for(__name__)

_NAME = re.compile(r"([0-9]{10,})(?:-([0-9]+))?")
_MOST_DAMAGED = 50
"""So many that are damaged are passed over; where there are more, something else is wrong."""

BEST, LAST = "best", "last"


class Unusable(SessionError):
    """A checkpoint is as it was written, and cannot be put back into what the session is made of.

    Where nothing of the session's config and code has changed, that is the fault of the checkpoint.
    """


@dataclass(frozen=True, slots=True)
class Checkpoint:
    """One that is as it was written, in the form in which states are written.

    Args:
        path: Its folder.
        manifest: What it holds.
        logs: What the files of the session that are only added to held then, by path below it.
    """

    path: Path
    manifest: Manifest
    logs: Mapping[str, bytes] = field(default_factory=dict)

    def has(self, name: str) -> bool:
        """Whether a file was written there, by its path below the checkpoint."""
        return name in self.manifest.files

    def tensors(self, name: str) -> dict[str, torch.Tensor]:
        """The tensors that were added under a name.

        Raises:
            FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
            Unusable: They are none.
        """
        try:
            return stored_tensors(self.path, name)
        except Damaged as error:
            raise Unusable(f"{shown_path(self.path)} is damaged: {error}") from None

    def state(self, name: str) -> Any:
        """The state that was added under a name.

        Raises:
            FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
            Unusable: It is none.
        """
        try:
            return stored_state(self.path, name, self.has(f"{name}.safetensors"))
        except Damaged as error:
            raise Unusable(f"{shown_path(self.path)} is damaged: {error}") from None


@dataclass(frozen=True, slots=True)
class Best:
    """Which checkpoints are kept for how good they are.

    Args:
        monitor: A column of the history.
        mode: ``min`` or ``max``.
        keep: How many.
    """

    monitor: str
    mode: str
    keep: int

    def rank(self, scores: Mapping[str, float]) -> float:
        """The smaller, the better; infinite for what has no score."""
        value = scores.get(self.monitor, math.nan)
        if math.isnan(value):
            return math.inf
        return value if self.mode == "min" else -value

    def among(self, scores: Mapping[str, Mapping[str, float]]) -> list[str]:
        """The names of the best, the best first; of equal ones the earlier."""
        ranked = [name for name in sorted(scores, key=_key) if self.rank(scores[name]) < math.inf]
        return sorted(ranked, key=lambda name: self.rank(scores[name]))[: self.keep]


class Checkpoints:
    """The checkpoints of a session, each a folder named by its step.

    A second state at the same step (after validation, or with another config) has a number behind
    the step. Nothing is ever replaced.

    Args:
        folder: Holds them; it lies in the session folder.
        with_logs: Whether a state is sound only with the history up to it, as who trains needs it.
    """

    def __init__(self, folder: Path, with_logs: bool = True) -> None:
        self.folder = folder
        self.unusable: dict[str, Unusable] = {}
        """Those that turned out to be so, by their names: they are passed over."""
        self._told: set[str] = set()
        self.with_logs = with_logs

    def names(self) -> list[str]:
        """The names of all checkpoints, the newest last."""
        try:
            with os.scandir(self.folder) as entries:
                found = [e.name for e in entries if _NAME.fullmatch(e.name) and e.is_dir()]
        except (FileNotFoundError, NotADirectoryError):
            return []
        return sorted(found, key=_key)

    def save(
        self,
        step: int,
        contents: CheckpointBundle,
        session: Fingerprints,
        scores: Mapping[str, float] | None = None,
        logs: Fingerprints | None = None,
    ) -> str:
        """Store a state; gives the name of its checkpoint.

        Args:
            step: The iterations done.
            contents: The state.
            session: The fingerprints of the files of the session.
            scores: The row of the history, at the end of an epoch; finite.
            logs: Those of what the files that are only added to hold by now.

        Raises:
            OSError: It could not be written. What was there is still there.
        """
        same = [name for name in self.names() if _key(name)[0] == step]
        name = f"{step:010d}"
        if same:
            name = f"{name}-{_key(same[-1])[1] + 1}"
        # Where the folder of a session was taken away, nothing is made in its place.
        with new_folder(self.folder / name, makes_parents=False) as aside:
            names = contents.write(aside)
            write_manifest(aside, names, session, scores, logs)
        return name

    def prune(self, newest: str, keep_last: int, best: Best | None) -> None:
        """Remove what is not kept, among those up to the newest; and what a dead process left.

        Args:
            newest: The one that was saved just now. What seems to be newer is damaged, or of a
                run that is gone on from before it.
            keep_last: How many of the last ones are kept.
            best: Which ones are kept beside those.
        """
        names = [name for name in self.names() if _key(name) <= _key(newest)]
        standing = [name for name in names if not _superseded(name, names)]
        kept = set(standing[-keep_last:])
        if best is not None:
            kept |= set(best.among({name: self.scores(name) for name in standing}))
        for name in names:
            if name not in kept:
                remove_folder(self.folder / name)
        clear_aside(self.folder)

    def scores(self, name: str) -> dict[str, float]:
        """The row of the history that a checkpoint was saved with; empty within an epoch."""
        try:
            return dict(read_manifest(self.folder / name).scores)
        except Damaged:
            return {}

    def newest_sound(self) -> Checkpoint:
        """The newest checkpoint that is as it was written; damaged ones are named.

        Raises:
            SessionError: There is none; with what is wrong with each.
            LaterFormat: A later version has written one.
        """
        while True:
            names = self.names()[::-1]
            try:
                return self._first_sound(names)
            except SessionError:
                if names == self.names()[::-1]:
                    raise

    def pass_over(self, checkpoint: Checkpoint, error: Unusable) -> None:
        """Take no checkpoint from now on that turned out to be unusable."""
        self.unusable[checkpoint.path.name] = error

    def chosen(self, which: str, best: Best | None) -> Checkpoint:
        """A sound checkpoint by what a person calls it.

        Args:
            which: ``last``, ``best``, or a step.
            best: What ``best`` means.

        Raises:
            SessionError: There is none, or it is damaged.
        """
        if which == LAST:
            return self.newest_sound()
        names = self.names()
        if which == BEST:
            if best is None:
                raise SessionError('the config has no "best" in its "checkpoints"')
            scores = {name: self.scores(name) for name in names}
            ranked = Best(best.monitor, best.mode, len(names)).among(scores)
            if not ranked:
                raise SessionError(f'no checkpoint has a score of "{best.monitor}" yet')
            return self._first_sound(ranked)
        same = [n for n in names if n == which or _is_step(which, _key(n)[0])]
        if not same:
            steps = [str(_key(name)[0]) for name in names]
            known = listing(list(dict.fromkeys([*([BEST] if best else []), LAST, *steps])))
            raise SessionError(f'there is no checkpoint "{which}"; there are {known}')
        return self._sound(same[-1])

    def _first_sound(self, names: Sequence[str]) -> Checkpoint:
        found: list[str] = []
        for name in names:
            if self.unusable and name not in self.unusable and _key(name)[0] == 0:
                # Hardly anything has a state there. Where what was trained does not fit, that is
                # to be mended, and to begin anew is for the user to say.
                break
            try:
                checkpoint = self._sound(name)
            except LaterFormat:
                # An earlier one is no stand-in: training from there would take the later ones back.
                raise
            except SessionError as error:
                # Where somebody trains the session, old ones are taken away at any moment.
                if (self.folder / name).is_dir():
                    found += [str(problem) for problem in error.problems]
                if len(found) >= _MOST_DAMAGED:
                    found.append("no more were looked at")
                    break
                continue
            lines = [*found, *([f"going on from checkpoint {name}"] if found else [])]
            for line in lines:
                if line not in self._told:
                    _log.warning(line)
            self._told.update(lines)
            return checkpoint
        raise SessionError(*(found or [f"{shown_path(self.folder)} holds no checkpoint"]))

    def _sound(self, name: str) -> Checkpoint:
        if name in self.unusable:
            raise self.unusable[name]
        path = self.folder / name
        try:
            manifest = sealed(path)
            logs = texts_of(self.folder.parent, manifest) if self.with_logs else None
            expect_form(path, manifest, logs)
            return Checkpoint(path, manifest, logs or {})
        except Damaged as error:
            raise SessionError(f"{shown_path(path)} is damaged: {error}") from None
        except OSError as error:
            raise SessionError(f"{shown_path(path)} cannot be read: {error.strerror}") from None


def _key(name: str) -> tuple[int, int]:
    """The step, and the number of the state at that step."""
    found = _NAME.fullmatch(name)
    assert found is not None, name
    return int(found[1]), int(found[2] or 0)


def _is_step(text: str, step: int) -> bool:
    """Whether a text is the number of a step."""
    return text.isascii() and text.isdecimal() and (text.lstrip("0") or "0") == str(step)


def _superseded(name: str, names: Sequence[str]) -> bool:
    """Whether there is a later state at the same step."""
    step, number = _key(name)
    return any(other == step and later > number for other, later in map(_key, names))
