"""The whole state of a run: taken from live objects, and put back into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn

from torchassistant.assembly import FittedArtifacts, Parts
from torchassistant.compat.optimizers import mark_stepped
from torchassistant.config import GROUPS, Key, Spec
from torchassistant.data import (
    IncompatibleState,
    expect_states_of,
    generators_in,
    set_states_of,
    states_of,
)
from torchassistant.errors import SessionError, listing, shown_path
from torchassistant.messages import logger_for
from torchassistant.session.checkpoints.bundle import CheckpointBundle
from torchassistant.session.checkpoints.storage import Checkpoint, Unusable
from torchassistant.session.state.formats import could_be_stored, stored_results, upgraded
from torchassistant.session.state.library_state import is_torchs, unlike_optimizer, unlike_state
from torchassistant.session.state.module_state import load_module, set_buffers, unsaved_buffers
from torchassistant.session.state.optimizer_state import load_optimizer, state_of_optimizer
from torchassistant.session.state.rows_of_shared import rows_of_model, rows_of_optimizer
from torchassistant.session.state.stateful_parts import (
    is_full,
    members_of,
    of_results,
    of_training,
    with_buffers,
)
from torchassistant.training import Average, Progress

_log = logger_for(__name__)

MayDiffer = Callable[[str], bool]


class Restored(NamedTuple):
    """What a checkpoint says beside the state of live objects.

    Args:
        progress: Where the run is.
        random: The state of the random number generators.
        environment: Under what it was saved.
        callbacks: What is stored of callbacks beside the state of their objects.
        parts: By id, what objects have kept for each part of a batch, where it was cut.
    """

    progress: Progress
    random: Any
    environment: dict[str, Any]
    callbacks: dict[str, Any]
    parts: dict[str, list[Any]]


def snapshot(
    parts: Parts,
    progress: Progress,
    random: Any,
    environment: dict[str, Any],
    callbacks: Mapping[str, Any],
    of_parts: Mapping[str, Sequence[Any]],
) -> CheckpointBundle:
    """A copy of the state as it is now.

    Args:
        parts: Whose state.
        progress: Where the run is.
        random: The state of the random number generators.
        environment: What the state may depend on beside all that.
        callbacks: Of callbacks what their objects do not keep; empty where there are none.
        of_parts: By id, what objects have kept for each part of a batch.

    Raises:
        SessionError: Some state holds what cannot be stored.
    """
    contents = CheckpointBundle()
    extra: dict[str, dict[str, Any]] = {}
    for name, model in parts.whole_models.items():
        tensors = model.state_dict()
        # What torch's get_extra_state gives need not be a tensor.
        others = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
        extra[f"models/{name}"] = {key: tensors.pop(key) for key in others}
        contents.add_tensors(f"models/{name}", tensors)
    for name, optimizer in parts.optimizers.items():
        what = f'the optimizer "{name}"'
        contents.add_state(f"optimizers/{name}", state_of_optimizer(optimizer), what)
    results = {key: item for key, item in of_results(parts).items() if is_full(item)}
    state = {
        "progress": asdict(progress),
        "random": random,
        "generators": states_of(generators_in(members_of(parts))),
        "samplers": {
            f"loader_factories/{name}": factory.sampler_state.state()
            for name, factory in parts.loader_factories.items()
        },
        "training": _states_of(of_training(parts), of_parts),
        "results": _states_of(results, of_parts),
        "buffers": {key: unsaved_buffers(item) for key, item in with_buffers(parts).items()},
        "extra_state": extra,
        "environment": environment,
    }
    if callbacks:
        state["callbacks"] = callbacks
    if of_parts:
        state["parts"] = {key: [*states] for key, states in of_parts.items()}
    contents.add_state("state", state, "the session")
    return contents


def _states_of(items: Mapping[str, Any], of_parts: Mapping[str, Sequence[Any]]) -> dict[str, Any]:
    """By id; where each part of a batch has one, that of the first."""
    return {
        key: of_parts[key][0] if key in of_parts else item.state_dict()
        for key, item in items.items()
    }


def restore(
    checkpoint: Checkpoint,
    parts: Parts,
    may_differ: MayDiffer,
    weights_only: bool = False,
    is_fresh: bool = True,
    made_anew: MayDiffer = lambda key: False,
) -> Restored:
    """Put the state of a checkpoint into live objects: all of it, and into all of them.

    Args:
        checkpoint: A verified one.
        parts: What is restored.
        may_differ: Whether a member, by its id, may have no state there, as it is new, or may leave
            its state over, as it was replaced.
        weights_only: Leave alone what only training needs: optimizers, schedulers, stop
            conditions, datasets.
        is_fresh: Whether the parts are as they were built; what they have made since need not be
            in the checkpoint.
        made_anew: Whether a member, by its id, is to stay as it was built; one with parameters is
            restored all the same.

    Raises:
        Unusable: Something has no state there, or leaves some over; or what is stored does not fit
            what takes it, as that has changed, or as it was made up.
        FileNotFoundError: Somebody who trains the session has taken the checkpoint away.
    """
    written = checkpoint.manifest.format
    state = checkpoint.state("state", parts.device)
    if written < 3:
        state = upgraded(state, parts)
    match = _Match(
        checkpoint.path,
        lambda key: not could_be_stored(key, written) or may_differ(key),
        is_fresh,
        made_anew,
    )
    anew = _restore_models(checkpoint, parts, state["extra_state"], match, weights_only)
    if not weights_only:
        _restore_optimizers(checkpoint, parts, match)
        match.load(of_training(parts), state["training"], "training")
        _restore_generators(parts, state["generators"], match)
        _restore_samplers(parts, state["samplers"], match)
    match.load(of_results(parts), state["results"], "results", weights_only)
    kept = {} if weights_only else _of_parts(parts, state.get("parts", {}), match)
    may_be_more = written < 3 or not is_fresh
    _restore_buffers(parts, state["buffers"], match, weights_only, may_be_more)
    match.raise_if_any()
    for average in anew:
        average.reset()
    progress = Progress.of(state["progress"])
    if progress.step and not weights_only:
        for scheduled in parts.schedulers.values():
            # torch warns of schedulers that step first; their optimizers have, in another process.
            mark_stepped(scheduled.optimizer)
    callbacks = state.get("callbacks", {})
    return Restored(progress, state["random"], state["environment"], callbacks, kept)


def restore_model(
    checkpoint: Checkpoint, parts: Parts, name: str, owner: str, path: str = ""
) -> None:
    """Put the weights and buffers of a checkpoint into a model, and nothing else.

    Args:
        checkpoint: A verified one. A model that it does not have stays as it is.
        parts: Whose model.
        name: Its name.
        owner: That of the model that it is a part of; its own, where it is whole.
        path: Which part of its owner it is; empty where it is whole.

    Raises:
        Unusable: What is stored does not fit the model, as its code has changed.
    """
    state, written = checkpoint.state("state", parts.device), checkpoint.manifest.format
    if written < 3:
        state = upgraded(state, parts)
    key, prefix = f"models/{owner}", f"{path}." if path else ""
    if not checkpoint.has(f"{key}.safetensors"):
        return

    def own(stored: Mapping[str, Any]) -> dict[str, Any]:
        names = (full for full in stored if full.startswith(prefix))
        return {full.removeprefix(prefix): stored[full] for full in names}

    model = parts.models[name]
    stored = checkpoint.tensors(key, rows_of_model(model, prefix))
    tensors = {**stored, **state["extra_state"].get(key, {})}
    _load(model, own(tensors), f'the model "{name}"', checkpoint.path)
    with _fitting(f'the buffers of the model "{name}"', checkpoint.path):
        buffers = own(state["buffers"].get(key, {}))
        set_buffers(model, buffers, may_be_more=True)


class _Match:
    """Live objects beside stored states: what has no partner is reported, all of it at once."""

    def __init__(
        self, folder: Path, may_differ: MayDiffer, is_fresh: bool, made_anew: MayDiffer
    ) -> None:
        self.folder = folder
        self.made_anew = made_anew
        self.may_differ = may_differ
        self.is_fresh = is_fresh
        self.wrong: list[str] = []

    def both(
        self,
        live: Mapping[str, Any],
        stored: Mapping[str, Any],
        where: str,
        may_be_more: bool = False,
    ) -> list[str]:
        """The ids that are on both sides; the others are noted.

        Args:
            live: By id.
            stored: Likewise.
            where: The section of ``state.json``.
            may_be_more: Whether not all of the session is built, so that more may be stored.
        """
        anew = {key for key in live if self.made_anew(key) and not _has_parameters(live[key])}
        for key, item in live.items():
            if key not in stored and key not in anew and self.is_fresh and is_full(item):
                self.report(key, f"{where}: {key} is missing")
        if not may_be_more:
            for key in stored.keys() - live.keys():
                if not self.made_anew(key):
                    what = f"{where}: {key} is left over: nothing takes it"
                    self.report(key, what)
        return [key for key in live if key in stored and key not in anew]

    def load(
        self,
        live: Mapping[str, Any],
        stored: Mapping[str, Any],
        where: str,
        may_be_more: bool = False,
    ) -> None:
        """Give each of these its state."""
        for key in self.both(live, stored, where, may_be_more):
            _load(live[key], stored[key], key, self.folder)

    def report(self, key: str, what: str) -> None:
        """Note what is missing of a member, or left over, unless that is as it should be."""
        if not self.may_differ(key):
            self.wrong.append(what)

    def raise_if_any(self) -> None:
        """Report all of it.

        Raises:
            Unusable: There is something.
        """
        if self.wrong:
            folder = shown_path(self.folder)
            raise Unusable(
                *(f"{folder}: {what}" for what in sorted(self.wrong)),
                "the state does not fit what the config and your code build now; if that is "
                "intended, train.py with --accept-changes resumes with what fits",
            )


def _has_parameters(item: Any) -> bool:
    return isinstance(item, nn.Module) and next(item.parameters(), None) is not None


def _restore_models(
    checkpoint: Checkpoint,
    parts: Parts,
    extra: Mapping[str, Any],
    match: _Match,
    weights_only: bool,
) -> list[Average]:
    """Give models their weights; gives the averages that are new, and have none."""
    anew = []
    for name, model in parts.whole_models.items():
        key = f"models/{name}"
        if checkpoint.has(f"{key}.safetensors"):
            stored = checkpoint.tensors(key, rows_of_model(model))
            tensors = {**stored, **extra.get(key, {})}
            _load(model, tensors, f'the model "{name}"', checkpoint.path)
        elif name in parts.averages and match.may_differ(key):
            anew.append(parts.averages[name])
        elif match.may_differ(key):
            _log.warning(f'no weights of the model "{name}" are stored')
        else:
            match.report(key, f"{key}.safetensors is missing")
    if not weights_only:
        _report_left_over(checkpoint, "models", ".safetensors", parts.whole_models, match)
    return anew


def _restore_optimizers(checkpoint: Checkpoint, parts: Parts, match: _Match) -> None:
    for name, optimizer in parts.optimizers.items():
        key = f"optimizers/{name}"
        if checkpoint.has(f"{key}.json"):
            stored = checkpoint.state(key, parts.device, rows_of_optimizer(optimizer))
            groups = [dict(group) for group in optimizer.param_groups]
            with _fitting(f'the optimizer "{name}"', checkpoint.path):
                load_optimizer(optimizer, stored)
                if is_torchs(optimizer):
                    _expect_none(unlike_optimizer(optimizer, groups, stored))
        else:
            match.report(key, f"{key}.json is missing")
    _report_left_over(checkpoint, "optimizers", ".json", parts.optimizers, match)


def _report_left_over(
    checkpoint: Checkpoint, group: str, suffix: str, live: Iterable[str], match: _Match
) -> None:
    known = {f"{group}/{name}{suffix}" for name in live}
    for file in checkpoint.manifest.files:
        if file.startswith(f"{group}/") and file.endswith(suffix) and file not in known:
            match.report(file.removesuffix(suffix), f"{file} is left over")


def _restore_generators(parts: Parts, stored: Mapping[str, Any], match: _Match) -> None:
    """Generators that several members share stand under one of them, and are found under each."""
    live = {
        path: (key, generator)
        for key, member in members_of(parts).items()
        for path, generator in generators_in({key: member}).items()
    }
    generators = {path: generator for path, (_, generator) in live.items()}
    known = {id(live[path][1]) for path in stored if path in live}
    try:
        expect_states_of(generators, stored)
    except IncompatibleState as error:
        raise Unusable(f"{shown_path(match.folder)} cannot be used: {error}") from None
    set_states_of(generators, stored)
    for path, (key, generator) in live.items():
        if path in stored:
            continue
        if match.is_fresh and id(generator) not in known:
            match.report(key, f"generators: {path} is missing")
    _warn_of_missing_generators(sorted(stored.keys() - live.keys()))


def _restore_samplers(parts: Parts, stored: Mapping[str, Any], match: _Match) -> None:
    live = {f"loader_factories/{n}": f.sampler_state for n, f in parts.loader_factories.items()}
    for key in match.both(live, stored, "samplers"):
        _warn_of_missing_generators(f"{key}: {path}" for path in live[key].lacks(stored[key]))
        with _fitting(f"the sampler of {key}", match.folder):
            for wrong in live[key].set_state(stored[key]):
                match.report(key, f"samplers: {key}: {wrong}")


def _restore_buffers(
    parts: Parts,
    stored: Mapping[str, Any],
    match: _Match,
    weights_only: bool,
    may_be_more: bool,
) -> None:
    """Those that a state_dict leaves out; a module may have more where ``may_be_more``."""
    live = with_buffers(parts)
    for key in match.both(live, stored, "buffers", weights_only):
        with _fitting(f"the buffers of {key}", match.folder):
            for wrong in set_buffers(live[key], stored[key], may_be_more):
                match.report(key, f"buffers: {key}: {wrong}")


def _of_parts(parts: Parts, stored: Mapping[str, Any], match: _Match) -> dict[str, list[Any]]:
    """What objects have kept for each part of a batch; they take all of it, the first part's last.

    What may differ begins anew for each part.
    """
    live = of_results(parts) | of_training(parts)
    kept = {k: s for k, s in stored.items() if k in live and not match.may_differ(k)}
    for key, states in kept.items():
        for state in (*states[1:], states[0]):
            _load(live[key], state, key, match.folder)
    return kept


def _warn_of_missing_generators(paths: Iterable[str]) -> None:
    for path in paths:
        _log.warning(
            f"the state of a random number generator is stored for {path}, which does not exist "
            "yet; one that is created on first use cannot resume"
        )


def progress_of(checkpoint: Checkpoint) -> Progress:
    """Where the run is when a checkpoint was saved."""
    return Progress.of(checkpoint.state("state")["progress"])


def stored_definitions(checkpoint: Checkpoint, spec: Spec, fitted: FittedArtifacts) -> set[Key]:
    """The definitions whose state :func:`restore` puts back, and the preprocessors of a session.

    Args:
        checkpoint: A verified one.
        spec: The config of the session.
        fitted: What was decided when the session was created.
    """
    stored = stored_results(checkpoint.state("state"), checkpoint.manifest.format)
    stored |= {file.rpartition(".")[0] for file in checkpoint.manifest.files}
    stored |= {f"preprocessors/{name}" for name in fitted.preprocessors}
    found = set()
    for one in spec.initialize.definitions:
        id = f"{one.group}/{one.name}"
        ids = [f"{id}/{part}" if part else id for part in GROUPS[one.group].held(one.spec)]
        if ids and stored.issuperset(ids):
            found.add(Key(one.group, one.name))
    return found


def changed_weights(checkpoint: Checkpoint, parts: Parts) -> list[str]:
    """The names of the live models that have not, bit for bit, the weights of a checkpoint."""
    changed = []
    for name, model in parts.whole_models.items():
        stored, live = checkpoint.tensors(f"models/{name}"), model.state_dict()
        if not all(torch.equal(live[key].cpu(), tensor) for key, tensor in stored.items()):
            changed.append(name)
    return changed


def _load(target: Any, stored: Any, what: str, folder: Path) -> None:
    with _fitting(what, folder, is_module=isinstance(target, nn.Module)):
        if isinstance(target, nn.Module):
            load_module(target, stored)
            return
        if is_torchs(target):
            _expect_none(unlike_state(target, stored))
        target.load_state_dict(stored)


@contextmanager
def _fitting(what: str, folder: Path, is_module: bool = False) -> Iterator[None]:
    """What raises in here says that a stored state does not fit what takes it."""
    try:
        yield
    except SessionError:
        raise
    except Exception as error:
        lines = str(error).splitlines()
        details = "; ".join(line.strip() for line in lines[1:]) or str(error)
        reason = details if is_module else str(error)
        raise Unusable(
            f"the state of {what} in {shown_path(folder)} does not fit its code: {reason}"
        ) from error


def _expect_none(unlike: Iterable[str]) -> None:
    """See that nothing is of another form than torch keeps it.

    Raises:
        ValueError: Something is.
    """
    found = list(dict.fromkeys(unlike))
    if found:
        raise ValueError(f"it has another form in {listing(found, 3)}")
