"""The whole state of a run: taken from live objects, and put back into them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from torchassistant.assembly import FittedArtifacts, Parts
from torchassistant.compat.modules import own_buffers, unsaved_names
from torchassistant.compat.optimizers import mark_stepped
from torchassistant.config import GROUPS, Key, Spec
from torchassistant.data import Misfit, expect_states_of, generators_in, set_states_of, states_of
from torchassistant.errors import SessionError, listing, shown_path
from torchassistant.graph import elements_of, overlaps
from torchassistant.messages import logger_for
from torchassistant.session.checkpoint_bundle import CheckpointBundle
from torchassistant.session.checkpoint_storage import Checkpoint, Unusable
from torchassistant.session.formats import could_be_stored, stored_results, upgraded
from torchassistant.session.library_state import is_torchs, unlike_optimizer, unlike_state
from torchassistant.session.stateful_parts import (
    is_full,
    members_of,
    of_results,
    of_training,
    with_buffers,
)
from torchassistant.training import Progress

_log = logger_for(__name__)

Excused = Callable[[str], bool]


class Restored(NamedTuple):
    """What a checkpoint says beside the state of live objects.

    Args:
        progress: How far the run had come.
        random: The state of the random number generators.
        environment: Under what it was saved.
    """

    progress: Progress
    random: Any
    environment: dict[str, Any]


def snapshot(
    parts: Parts, progress: Progress, random: Any, environment: dict[str, Any]
) -> CheckpointBundle:
    """A copy of the state as it is now.

    Args:
        parts: Whose state.
        progress: How far the run has come.
        random: The state of the random number generators.
        environment: What the state may depend on beside all that.

    Raises:
        SessionError: Some state holds what cannot be stored.
    """
    contents = CheckpointBundle()
    extra: dict[str, dict[str, Any]] = {}
    for name, model in parts.models.items():
        tensors = model.state_dict()
        # What torch's get_extra_state gives need not be a tensor.
        others = [key for key, value in tensors.items() if not isinstance(value, torch.Tensor)]
        extra[f"models/{name}"] = {key: tensors.pop(key) for key in others}
        contents.add_tensors(f"models/{name}", tensors)
    for name, optimizer in parts.optimizers.items():
        what = f'the optimizer "{name}"'
        contents.add_state(f"optimizers/{name}", optimizer.state_dict(), what)
    results = {key: item for key, item in of_results(parts).items() if is_full(item)}
    state = {
        "progress": asdict(progress),
        "random": random,
        "generators": states_of(generators_in(members_of(parts))),
        "samplers": {
            f"loader_factories/{name}": factory.sampler_state.state()
            for name, factory in parts.loader_factories.items()
        },
        "training": {key: item.state_dict() for key, item in of_training(parts).items()},
        "results": {key: item.state_dict() for key, item in results.items()},
        "buffers": {key: _unsaved_buffers(item) for key, item in with_buffers(parts).items()},
        "extra_state": extra,
        "environment": environment,
    }
    contents.add_state("state", state, "the session")
    return contents


def restore(
    checkpoint: Checkpoint,
    parts: Parts,
    excused: Excused,
    weights_only: bool = False,
    is_fresh: bool = True,
    made_anew: Excused = lambda key: False,
) -> Restored:
    """Put the state of a checkpoint into live objects: all of it, and into all of them.

    Args:
        checkpoint: A sound one.
        parts: What is restored.
        excused: Whether a member, by its id, may have no state there, as it is new, or may leave
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
    state = checkpoint.state("state")
    if written < 3:
        state = upgraded(state, parts)
    match = _Match(
        checkpoint.path,
        lambda key: not could_be_stored(key, written) or excused(key),
        is_fresh,
        made_anew,
    )
    _restore_models(checkpoint, parts, state["extra_state"], match, weights_only)
    if not weights_only:
        _restore_optimizers(checkpoint, parts, match)
        match.load(of_training(parts), state["training"], "training")
        _restore_generators(parts, state["generators"], match)
        memories = {
            f"loader_factories/{n}": f.sampler_state for n, f in parts.loader_factories.items()
        }
        for key in match.both(memories, state["samplers"], "samplers"):
            _tell_unmade(f"{key}: {p}" for p in memories[key].lacks(state["samplers"][key]))
            with _fitting(f"the sampler of {key}", checkpoint.path):
                for wrong in memories[key].set_state(state["samplers"][key]):
                    match.tell(key, f"samplers: {key}: {wrong}")
    match.load(of_results(parts), state["results"], "results", weights_only)
    modules = with_buffers(parts)
    for key in match.both(modules, state["buffers"], "buffers", weights_only):
        with _fitting(f"the buffers of {key}", checkpoint.path):
            may_be_more = written < 3 or not is_fresh
            for wrong in _set_buffers(modules[key], state["buffers"][key], may_be_more):
                match.tell(key, f"buffers: {key}: {wrong}")
    match.raise_if_any()
    progress = Progress.of(state["progress"])
    if progress.step and not weights_only:
        for scheduled in parts.schedulers.values():
            # torch warns of schedulers that step first; their optimizers have, in another process.
            mark_stepped(scheduled.optimizer)
    return Restored(progress, state["random"], state["environment"])


class _Match:
    """Live objects beside stored states: what has no partner is told, all of it at once."""

    def __init__(self, folder: Path, excused: Excused, is_fresh: bool, made_anew: Excused) -> None:
        self.folder = folder
        self.made_anew = made_anew
        self.excused = excused
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
                self.tell(key, f"{where}: {key} is missing")
        if not may_be_more:
            for key in stored.keys() - live.keys():
                if not self.made_anew(key):
                    what = f"{where}: {key} is left over: nothing takes it"
                    self.tell(key, what)
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

    def tell(self, key: str, what: str) -> None:
        """Note what is missing of a member, or left over, unless that is as it should be."""
        if not self.excused(key):
            self.wrong.append(what)

    def raise_if_any(self) -> None:
        """Tell all of it.

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
) -> None:
    for name, model in parts.models.items():
        key = f"models/{name}"
        if checkpoint.has(f"{key}.safetensors"):
            tensors = {**checkpoint.tensors(key), **extra.get(key, {})}
            _load(model, tensors, f'the model "{name}"', checkpoint.path)
        elif match.excused(key):
            _log.warning(f'no weights of the model "{name}" are stored')
        else:
            match.tell(key, f"{key}.safetensors is missing")
    if not weights_only:
        _tell_left_over(checkpoint, "models", ".safetensors", parts.models, match)


def _restore_optimizers(checkpoint: Checkpoint, parts: Parts, match: _Match) -> None:
    for name, optimizer in parts.optimizers.items():
        key = f"optimizers/{name}"
        if checkpoint.has(f"{key}.json"):
            stored = checkpoint.state(key)
            groups = [dict(group) for group in optimizer.param_groups]
            with _fitting(f'the optimizer "{name}"', checkpoint.path):
                optimizer.load_state_dict(stored)
                _as_it_was(optimizer, stored)
                if is_torchs(optimizer):
                    _expect_none(unlike_optimizer(optimizer, groups, stored))
        else:
            match.tell(key, f"{key}.json is missing")
    _tell_left_over(checkpoint, "optimizers", ".json", parts.optimizers, match)


def _tell_left_over(
    checkpoint: Checkpoint, group: str, suffix: str, live: Iterable[str], match: _Match
) -> None:
    known = {f"{group}/{name}{suffix}" for name in live}
    for file in checkpoint.manifest.files:
        if file.startswith(f"{group}/") and file.endswith(suffix) and file not in known:
            match.tell(file.removesuffix(suffix), f"{file} is left over")


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
    except Misfit as error:
        raise Unusable(f"{shown_path(match.folder)} cannot be used: {error}") from None
    set_states_of(generators, stored)
    for path, (key, generator) in live.items():
        if path in stored:
            continue
        if match.is_fresh and id(generator) not in known:
            match.tell(key, f"generators: {path} is missing")
    _tell_unmade(sorted(stored.keys() - live.keys()))


def _tell_unmade(paths: Iterable[str]) -> None:
    for path in paths:
        _log.warning(
            f"the state of a random number generator is stored for {path}, which does not exist "
            "yet; one that is created on first use cannot resume"
        )


def progress_of(checkpoint: Checkpoint) -> Progress:
    """How far a run had come when a checkpoint was saved."""
    return Progress.of(checkpoint.state("state")["progress"])


def stored_definitions(checkpoint: Checkpoint, spec: Spec, fitted: FittedArtifacts) -> set[Key]:
    """The definitions whose state :func:`restore` puts back, and the preprocessors of a session.

    Args:
        checkpoint: A sound one.
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


def has_weights_of(checkpoint: Checkpoint, parts: Parts) -> bool:
    """Whether a checkpoint has, bit for bit, the weights of the live models."""
    for name, model in parts.models.items():
        stored, live = checkpoint.tensors(f"models/{name}"), model.state_dict()
        if not all(torch.equal(live[key].cpu(), tensor) for key, tensor in stored.items()):
            return False
    return True


def _unsaved_buffers(model: nn.Module) -> dict[str, torch.Tensor | None]:
    """Buffers that torch leaves out of a state_dict; training may change them all the same."""
    has_any = any(own_buffers(part) for part in model.modules())
    saved = model.state_dict(keep_vars=True) if has_any else {}
    unsaved: dict[str, torch.Tensor | None] = {}
    for path, part in model.named_modules():
        for key, buffer in own_buffers(part).items():
            name = f"{path}.{key}" if path else key
            # One that is saved, and is None, is left out too.
            if name not in saved and (buffer is not None or key in unsaved_names(part)):
                unsaved[name] = buffer
    return unsaved


def _set_buffers(model: nn.Module, stored: Mapping[str, Any], may_be_more: bool) -> list[str]:
    """Put buffers back that a state_dict leaves out.

    Args:
        model: Whose buffers. One that it registers when it is needed first, it gets here.
        stored: By their names.
        may_be_more: Whether the model may have buffers that are not stored.

    Returns:
        What is missing, and what is left over.
    """
    wrong = []
    for name, value in stored.items():
        part, key = _holder(model, name)
        if part is None or (key not in own_buffers(part) and hasattr(part, key)):
            wrong.append(f"{name} is left over")
            continue
        if key not in own_buffers(part):
            part.register_buffer(key, None, persistent=False)
        _set_buffer(model, part, key, value)
    if not may_be_more:
        wrong += [f"{name} is missing" for name in _unsaved_buffers(model) if name not in stored]
    return wrong


def _holder(model: nn.Module, name: str) -> tuple[nn.Module | None, str]:
    """The part that a buffer stands in, if there is one, and the buffer's name there."""
    path, _, key = name.rpartition(".")
    try:
        return model.get_submodule(path), key
    except AttributeError:
        return None, key


def _set_buffer(model: nn.Module, part: nn.Module, key: str, value: torch.Tensor | None) -> None:
    """Give a buffer a value; one that has another shape, or none, is replaced."""
    buffer = own_buffers(part)[key]
    if value is None or buffer is None or buffer.shape != value.shape:
        if value is not None:
            device = next(model.parameters(), value).device if buffer is None else buffer.device
            value = value.to(device, copy=True)
        own_buffers(part)[key] = value
    else:
        with torch.no_grad():
            elements_of(buffer).copy_(elements_of(value, like=buffer))


def _as_it_was(optimizer: Optimizer, stored: Mapping[str, Any]) -> None:
    """Give loaded state the dtype that it had, and the memory format of its parameter.

    torch gives it the dtype of the parameter, and files hold no format; fused kernels ask for one.
    """
    for live, group in zip(optimizer.param_groups, stored["param_groups"], strict=True):
        for parameter, index in zip(live["params"], group["params"], strict=True):
            state = optimizer.state.get(parameter, {})
            for key, value in stored["state"].get(index, {}).items():
                loaded = state.get(key)
                if not (isinstance(value, torch.Tensor) and isinstance(loaded, torch.Tensor)):
                    continue
                if loaded.dtype != value.dtype:
                    state[key] = loaded = value.to(loaded.device, copy=True)
                is_plain = loaded.layout is parameter.layout is torch.strided
                if not is_plain or loaded.shape != parameter.shape:
                    continue
                if loaded.stride() != parameter.stride():
                    state[key] = torch.empty_like(parameter, dtype=loaded.dtype).copy_(loaded)


def _load(target: Any, stored: Any, what: str, folder: Path) -> None:
    with _fitting(what, folder, is_module=isinstance(target, nn.Module)):
        if isinstance(target, nn.Module):
            _load_module(target, stored)
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


def _expect_dtypes(module: nn.Module, stored: Mapping[str, Any]) -> None:
    """See that nothing is rounded when it is copied.

    Raises:
        ValueError: Something would be.
    """
    for name, live in module.state_dict().items():
        value = stored.get(name)
        if not (isinstance(live, torch.Tensor) and isinstance(value, torch.Tensor)):
            continue
        if value.dtype is not live.dtype and not is_lazy(live):
            kinds = [str(tensor.dtype).removeprefix("torch.") for tensor in (live, value)]
            raise ValueError(f'"{name}" is {kinds[0]}, and {kinds[1]} is stored')


def _load_module(module: nn.Module, stored: Any) -> None:
    """Load what may hold buffers of other shapes, and such whose elements share memory."""
    if not (isinstance(stored, dict) and all(isinstance(name, str) for name in stored)):
        raise TypeError("it is not a table of tensors")
    _expect_dtypes(module, stored)
    buffers = dict(module.named_buffers())
    for name, value in stored.items():
        part, key = _holder(module, name)
        if part is None or key not in own_buffers(part) or not isinstance(value, torch.Tensor):
            continue
        if type(part).__module__.startswith("torch.nn.modules."):
            continue  # theirs have one shape
        if name not in buffers or buffers[name].shape != value.shape:
            _set_buffer(module, part, key, value)
    shared = [
        (part, key, buffer)
        for part in module.modules()
        for key, buffer in own_buffers(part).items()
        if buffer is not None and overlaps(buffer)
    ]
    for part, key, buffer in shared:
        own_buffers(part)[key] = buffer.clone(memory_format=torch.contiguous_format)
    try:
        module.load_state_dict(stored)
    finally:
        for part, key, buffer in shared:
            value, own_buffers(part)[key] = own_buffers(part)[key], buffer
            _set_buffer(module, part, key, value)
