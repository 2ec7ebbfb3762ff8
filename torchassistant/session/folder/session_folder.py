"""What stands where in a session folder, and what is written there once."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch

from torchassistant.assembly import FittedArtifacts, TakenWeights, taken_weights_of
from torchassistant.callbacks.loggers import MLflow, TensorBoard, Trackio
from torchassistant.config import MAX_BYTES, Diagnostics, Spec, as_data, inherit, read, scan
from torchassistant.errors import SessionError, listing, shown_path
from torchassistant.files import InvalidFile
from torchassistant.messages import logger_for
from torchassistant.session.checkpoints.best_weights import WEIGHTS
from torchassistant.session.checkpoints.bundle import CheckpointBundle, read_state
from torchassistant.session.checkpoints.local_checkpoints import LocalCheckpoints
from torchassistant.session.checkpoints.retention import bests_of
from torchassistant.session.checkpoints.selection import LAST, CheckpointSelector
from torchassistant.session.checkpoints.state_schema import SPEC, stored_spec
from torchassistant.session.checkpoints.storage import Checkpoint, CheckpointStorage
from torchassistant.session.files.append_only_logs import CHANGES, COPIES, METRICS, Logs, is_log
from torchassistant.session.files.durable_files import (
    as_json,
    differing,
    expect_text,
    fingerprint,
    holds,
    read_json,
    read_tensors,
    refuse_links,
    replace_file,
    replace_tensors,
)
from torchassistant.session.files.manifest import Damaged, Fingerprints
from torchassistant.session.folder.environment import ENVIRONMENT
from torchassistant.session.folder.folder_identity import SameFolder
from torchassistant.session.folder.lock import is_held
from torchassistant.session.folder.wrong_folder import why_no_session
from torchassistant.whole_files import ASIDE

_log = logger_for(__name__)

STATIC, CHECKPOINTS = "static", "checkpoints"
_OURS = (SPEC, ENVIRONMENT, CHANGES, STATIC, CHECKPOINTS, METRICS, COPIES, WEIGHTS)
_OPTIONAL = (
    "profile",
    "report.html",
    "evaluations",
    "samples",
    "find-lr",
    *(logger.own_folder for logger in (MLflow, TensorBoard, Trackio)),
)
"""What a session may have besides, and is nobody's but the session's."""


class SessionFolder:
    """A folder that holds one training run.

    Args:
        path: The folder.

    Raises:
        SessionError: Its path is no UTF-8 text.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path).absolute()  # code of the user may change the working directory
        expect_text(self.path, "a session")
        self.spec = self.path / SPEC
        self.environment = self.path / ENVIRONMENT
        self.splits = self.path / STATIC / "splits"
        self.preprocessors = self.path / STATIC / "preprocessors"
        self.weights = self.path / STATIC / "weights"
        checkpoints = self.path / CHECKPOINTS
        self.storage: CheckpointStorage = LocalCheckpoints(checkpoints)
        self.checkpoints = CheckpointSelector(self.storage, shown_path(checkpoints))

    def create(
        self,
        spec: Spec,
        fitted: FittedArtifacts,
        environment: dict[str, Any],
        weights: Mapping[str, TakenWeights],
    ) -> Fingerprints:
        """Write what never changes again, and the folders of the rest.

        Args:
            spec: The config.
            fitted: Splits, and states of preprocessors.
            environment: Where the session is created.
            weights: What became of the weights that models begin with, by model.

        Returns:
            The fingerprints of what never changes.
        """
        for name in (STATIC, CHECKPOINTS, METRICS, COPIES):
            (self.path / name).mkdir()
        contents = CheckpointBundle()
        contents.add_json(ENVIRONMENT, environment)
        for split, indices in fitted.splits.items():
            tensors = {str(position): part for position, part in enumerate(indices)}
            contents.add_tensors(f"{STATIC}/splits/{split}", tensors)
        for name, state in fitted.preprocessors.items():
            what = f'the preprocessor "{name}"'
            contents.add_state(f"{STATIC}/preprocessors/{name}", state, what)
        for name, taken in weights.items():
            contents.add_json(f"{STATIC}/weights/{name}.json", taken.data())
        fixed = contents.write(self.path)
        replace_file(self.spec, as_json(as_data(spec)))
        return fixed

    def keep_shapes(self, shapes: Mapping[str, Any]) -> None:
        """Write the shapes of columns, for pictures of the graph; nothing else depends on them."""
        replace_file(self.path / STATIC / "shapes.json", as_json(shapes))

    def keep_class_names(self, names: Mapping[str, Any]) -> None:
        """Write what classes are called, by dataset, for reports; nothing else depends on them."""
        replace_file(self.path / STATIC / "classes.json", as_json(names))

    @property
    def is_there(self) -> bool:
        """Whether there is a session, be it damaged or not."""
        return self.spec.exists() or bool(self.storage.names())

    def expect_nothing_else(self) -> None:
        """See that the folder is a session's, and holds nothing that is not.

        Raises:
            SessionError: It is something else; or there is something in it that no session has.
        """
        path = shown_path(self.path)
        whole = (self.spec, self.environment, self.path / CHECKPOINTS)
        if self.path.is_symlink():
            raise SessionError(f"{self.path.name} is a link to {path}, and is not replaced")
        if not all(part.exists() for part in whole):
            raise SessionError(f"{path} is not a complete session, and is not replaced")
        refuse_links(self.path, _OURS)
        foreign = sorted(self._foreign())
        if foreign:
            raise SessionError(
                f"{path} is not replaced: it contains what is not part of the session, "
                f"{listing(foreign)}"
            )

    def identity(self) -> SameFolder:
        """Knows this folder again, and what in it is written while the session is trained."""
        return SameFolder(self.path, (CHECKPOINTS, METRICS, COPIES), ENVIRONMENT)

    def _foreign(self) -> Iterator[str]:
        """The files and folders in it that no session has, by their path below it."""
        known = (*_OURS, *_OPTIONAL)
        yield from (p.name for p in self.path.iterdir() if p.name not in known and not _may_stay(p))
        for folder, others in ((METRICS, ()), (COPIES, (CHANGES,))):
            inside = self.path / folder
            for path in inside.iterdir() if inside.is_dir() else ():
                if not (is_log(f"{METRICS}/{path.name}") or path.name in others or _may_stay(path)):
                    yield f"{folder}/{path.name}"
        weights = self.path / WEIGHTS
        for path in weights.rglob("*") if weights.is_dir() else ():
            if not (path.is_dir() or path.name.endswith(".safetensors") or _may_stay(path)):
                yield path.relative_to(self.path).as_posix()
        names = self.storage.names()
        for path in (self.path / CHECKPOINTS).iterdir():
            if path.name not in names and not _may_stay(path):
                yield f"{CHECKPOINTS}/{path.name}"

    def verified(self, which: str = LAST, with_history: bool = True) -> Checkpoint:
        """A checkpoint that is as it was written, in a session that is so too.

        Every file is read and compared here, once; whoever uses the checkpoint is handed this.

        Args:
            which: ``last``, ``best``, or a step.
            with_history: Whether the history is needed too.

        Raises:
            Unusable: There is none but such as turned out to be so; this is why the newest is.
            SessionError: This is no session folder; or it is damaged, so that it cannot be used.
        """
        if not self.is_there:
            raise SessionError(why_no_session(self.path))
        refuse_links(self.path, _OURS)
        try:
            checkpoint = self._chosen(which, with_history)
            self._expect_fixed(checkpoint)
        except SessionError:
            unusable = next(iter(self.checkpoints.unusable.values()), None)
            if unusable is None:
                raise
            raise unusable from unusable.__cause__
        return checkpoint

    def _chosen(self, which: str, with_history: bool) -> Checkpoint:
        newest = self.checkpoints.newest(with_history=with_history)
        if which == LAST:
            return newest
        bests = bests_of(newest.spec.checkpoints)
        return self.checkpoints.chosen(which, bests, newest, with_history)

    def _expect_fixed(self, checkpoint: Checkpoint) -> None:
        """See that the files that never change are as a checkpoint says.

        Raises:
            SessionError: One is not.
        """
        expected = checkpoint.manifest.fixed
        wrong = dict(
            differing(self.path, {n: f for n, f in expected.items() if not is_held(self.path / n)})
        )
        environment = wrong.pop(ENVIRONMENT, None)
        if wrong:
            sentences = (f"{shown_path(self.path / name)} {how}" for name, how in wrong.items())
            raise SessionError(*sentences)
        if environment is not None:
            # Nothing is read from it but by people.
            _log.warning(f"{shown_path(self.environment)} {environment}")

    def read_spec(self, checkpoint: Checkpoint, settings: Sequence[str] = ()) -> Diagnostics:
        """The config of a state, as it was checked and completed.

        Args:
            checkpoint: The state.
            settings: What is to be changed in it, each as ``PATH=VALUE``.
        """
        text = checkpoint.manifest.text(SPEC)
        is_shown = len(text) <= MAX_BYTES and holds(self.spec, text)
        # What counts is the text that was verified; the file beside only has the places in it.
        place = shown_path(self.spec)
        source = scan(text.decode(), place) if is_shown else stored_spec(checkpoint.manifest)
        # Variables are put in already; a "${" that is left is text.
        found = read(source, settings, variables=False)
        inherit(found)
        return found

    def logs(self, checkpoint: Checkpoint) -> Logs:
        """The history, and what was changed, up to a state.

        Raises:
            SessionError: The tensors of a row were taken away since the checkpoint was read.
        """
        try:
            return Logs(self.path, checkpoint.logs)
        except Damaged as error:
            raise SessionError(f"{shown_path(self.path)}: {error}") from None

    def warn_of_damage(self, checkpoint: Checkpoint, logs: Logs) -> None:
        """Warn of what is not as the checkpoint has it; training puts it back."""
        for line in logs.damage(checkpoint.manifest.has_logs):
            _log.warning(line)
        begins = holds(self.spec, checkpoint.manifest.text(SPEC))
        if begins is None:
            _log.warning(
                f"{shown_path(self.spec)} is missing, or cannot be read; the checkpoint is used "
                "instead"
            )
        elif not begins:
            _log.warning(
                f"{shown_path(self.spec)} differs from the checkpoint, which is used instead; make "
                "changes with --set"
            )

    def mirror(self, spec: bytes) -> None:
        """Bring ``spec.json`` to a state; what a checkpoint has of it is what counts.

        Raises:
            OSError: It could not be written.
            SessionError: A link or a folder stands in its place.
        """
        refuse_links(self.path, (SPEC,))
        if self.spec.is_dir():
            raise SessionError(f"{shown_path(self.spec)} is a folder, and no regular file")
        if not holds(self.spec, spec):
            replace_file(self.spec, spec)

    def fitted(self, checkpoint: Checkpoint) -> FittedArtifacts:
        """The split indices, and the states of the fitted preprocessors."""
        fitted = FittedArtifacts()
        fixed = checkpoint.manifest.fixed
        for name in sorted(fixed):
            path = self.path / name
            split = self._split_of(name)
            try:
                if split is not None:
                    fitted.splits[split] = _indices(read_tensors(path))
                elif path.parent == self.preprocessors and path.suffix == ".json":
                    folder = Path(name).parent
                    own = [one.name for one in map(Path, fixed) if one.parent == folder]
                    state = read_state(self.preprocessors, path.stem, own)
                    fitted.preprocessors[path.stem] = state
            except InvalidFile as error:
                raise SessionError(f"{shown_path(path)} {error}") from None
            except OSError as error:
                message = f"{shown_path(path)} cannot be read: {error.strerror}"
                raise SessionError(message) from error
        return fitted

    def add_splits(
        self, fixed: Fingerprints, splits: Mapping[str, list[torch.Tensor]], step: int
    ) -> Fingerprints:
        """Store splits that were drawn again, beside those that older states were trained with.

        Returns:
            The fingerprints of what never changes from now on.
        """
        files = {name: known for name, known in fixed.items() if self._split_of(name) not in splits}
        for split, indices in splits.items():
            path = self.splits / f"since {step}" / f"{split}.safetensors"
            replace_tensors(path, {str(i): part for i, part in enumerate(indices)})
            files |= self._fingerprint_of(path)
        return files

    def add_weights(
        self, fixed: Fingerprints, weights: Mapping[str, TakenWeights], step: int
    ) -> Fingerprints:
        """Store what became of the weights of models that were added to the session.

        Returns:
            The fingerprints of what never changes from now on.
        """
        files = {
            name: known for name, known in fixed.items() if self._model_of(name) not in weights
        }
        for model, taken in weights.items():
            path = self.weights / f"since {step}" / f"{model}.json"
            replace_file(path, as_json(taken.data()))
            files |= self._fingerprint_of(path)
        return files

    def _fingerprint_of(self, path: Path) -> Fingerprints:
        return {path.relative_to(self.path).as_posix(): fingerprint(path)}

    def taken_weights(self, checkpoint: Checkpoint) -> dict[str, TakenWeights]:
        """What became of the weights that models began with, by model.

        Raises:
            SessionError: It cannot be read.
        """
        found = {}
        for name in checkpoint.manifest.fixed:
            model, path = self._model_of(name), self.path / name
            if model is None:
                continue
            try:
                found[model] = taken_weights_of(model, read_json(path))
            except InvalidFile as error:
                raise SessionError(f"{shown_path(path)} {error}") from None
            except OSError as error:
                message = f"{shown_path(path)} cannot be read: {error.strerror}"
                raise SessionError(message) from error
        return found

    def _model_of(self, name: str) -> str | None:
        """The model that a file of the session tells of, what it began with."""
        path = self.path / name
        return path.stem if self.weights in (path.parent, path.parent.parent) else None

    def _split_of(self, name: str) -> str | None:
        """The split that a file of the session holds."""
        path = self.path / name
        if path.suffix != ".safetensors":
            return None
        return path.stem if self.splits in (path.parent, path.parent.parent) else None


def _indices(tensors: Mapping[str, torch.Tensor]) -> list[torch.Tensor]:
    """The slices of a split.

    Raises:
        InvalidFile: They are none.
    """
    slices = [tensors.get(str(position)) for position in range(len(tensors))]
    found = [part for part in slices if part is not None]
    if len(found) != len(tensors) or not all(
        part.dtype is torch.int64 and part.ndim == 1 and len(part) for part in found
    ):
        raise InvalidFile("holds no slices of a split")
    # Of all examples, each once: then none is beyond the end of the dataset.
    everything = torch.cat(found) if found else torch.zeros(0, dtype=torch.int64)
    count = len(everything)
    seen = torch.zeros(count, dtype=torch.bool)
    if count and int(everything.min()) >= 0 and int(everything.max()) < count:
        seen[everything] = True
    if not count or not bool(seen.all()):
        raise InvalidFile(f"holds no split of {count} examples")
    return found


_LITTER = (".DS_Store", "Thumbs.db", "desktop.ini")


def _may_stay(path: Path) -> bool:
    """Whether nobody misses it: a process that died has left it there, or a file manager."""
    return path.name.startswith((ASIDE, "._")) or path.name in _LITTER
