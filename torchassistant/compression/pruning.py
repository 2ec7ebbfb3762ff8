"""Whole channels left out of a model, in all layers that have them in common.

Which layers those are, torch-pruning's dependency graph tells. What is pruned has to give outputs
of the same shapes as before: layers of which that is not so stay as they are.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from torchassistant.compression.calls import PartCall, evaluating, tensors_in, with_rows
from torchassistant.errors import listing
from torchassistant.rebuilding import Misfit, module_at

_STEPS = 40
"""Channels are left out in so many steps, until few enough parameters are left."""
_MOST = 0.95
"""At most so much of the channels of a layer is left out."""
_BATCH = 2


_CONVOLUTIONS = (nn.Conv1d, nn.Conv2d, nn.Conv3d)
_TRANSPOSED = (nn.ConvTranspose1d, nn.ConvTranspose2d, nn.ConvTranspose3d)
_ROOTS = [*_CONVOLUTIONS, *_TRANSPOSED, nn.Linear]
"""Layers whose channels are left out, each with those of all layers that follow from it."""


class Unprunable(Misfit):
    """A model does not run with fewer channels."""


class TooFar(Misfit):
    """So much cannot be left out of a model; less perhaps."""


class Pruning:
    """How a model can be pruned.

    Args:
        model: Stays as it is.
        calls: What it is called with, for one batch.

    Attributes:
        kept: The paths of the layers whose channels all stay, as their outputs are the model's,
            or as code fixes their sizes, as by ``x.view(-1, 320)``.

    Raises:
        Misfit: It cannot be pruned.
    """

    def __init__(self, model: nn.Module, calls: Sequence[PartCall]) -> None:
        self.model = model
        self.calls = [PartCall(path, with_rows(call, _BATCH)) for path, call in calls]
        if not calls:
            raise Misfit("the pipeline of the monitor does not call it")
        layers, self.kept = _groups(model, self.calls)
        if len(self.kept) == len(layers):
            raise Misfit("each of its layers gives an output, or cannot be followed")
        try:
            least = self._attempt(0, self.kept)
        except Unprunable:
            free = [path for path in layers if path not in self.kept]
            resisting = [path for path in free if self._resists(layers, path)]
            if resisting == free:
                raise
            self.kept = [path for path in layers if path in (*self.kept, *resisting)]
            least = self._attempt(0, self.kept)
        self.least = _count(least)

    @property
    def note(self) -> str:
        """Which layers keep all of their channels, for people."""
        return f"all channels stay of {listing(self.kept)}" if self.kept else ""

    def pruned(self, share: float) -> nn.Module:
        """A copy without some channels, those whose weights are smallest.

        Args:
            share: Of the parameters, which is to stay at most.

        Raises:
            TooFar: It cannot be pruned so far.
        """
        whole = _count(self.model)
        if self.least > share * whole:
            raise TooFar(f"pruning leaves {self.least / whole:.0%} of its parameters at least")
        return self._attempt(share * whole, self.kept)

    def _resists(self, layers: Sequence[str], path: str) -> bool:
        """Whether a layer cannot be pruned where all others stay as they are."""
        try:
            self._attempt(0, [one for one in layers if one != path])
        except Unprunable:
            return True
        return False

    def _attempt(self, wanted: float, kept: Collection[str]) -> nn.Module:
        """A pruned copy.

        Args:
            wanted: How many parameters may be left; 0: as few as can be.
            kept: The paths of layers whose channels all stay.

        Raises:
            Unprunable: It does not run any more, or its outputs have other shapes.
        """
        from torch_pruning import BasePruner
        from torch_pruning.pruner.importance import GroupMagnitudeImportance

        importance = GroupMagnitudeImportance(p=2)
        small = copy.deepcopy(self.model)
        modules = dict(small.named_modules())
        with _traceable(small), _explained():
            pruner = BasePruner(
                small,
                [],
                importance=importance,
                global_pruning=True,
                pruning_ratio=1.0,
                max_pruning_ratio=_MOST,
                iterative_steps=_STEPS,
                ignored_layers=[modules[path] for path in kept],
                in_channel_groups={},
                out_channel_groups={},
                num_heads=_heads(small),
                root_module_types=_ROOTS,
                forward_fn=lambda whole, _: _outputs(whole, self.calls),
            )
            for _ in range(_STEPS):
                if _count(small) <= wanted:
                    break
                pruner.step()
        _with_settings_of(small, self.model)
        with torch.no_grad(), evaluating([small, self.model]):
            before = _shapes(self.model, self.calls)
            with _explained():
                after = _shapes(small, self.calls)
        if before != after:
            raise Unprunable("with fewer channels its outputs have other shapes")
        return small


def _groups(model: nn.Module, calls: Sequence[PartCall]) -> tuple[list[str], list[str]]:
    """The first layer of each group that loses its channels together, and which of them may not.

    Those are the ones that give outputs, recurrent ones, and those with a weight that stands in
    several places.
    """
    from torch_pruning import DependencyGraph

    probe = copy.deepcopy(model)
    tied = _with_tied_weights(probe)
    layers, kept = [], []
    with _traceable(probe), _explained("torch-pruning cannot follow it"):
        graph = DependencyGraph().build_dependency(
            probe, [], forward_fn=lambda whole, _: _outputs(whole, calls), verbose=False
        )
        names = {module: path for path, module in probe.named_modules()}
        for group in graph.get_all_groups(root_module_types=_ROOTS):
            path = names[group[0].dep.target.module]
            layers.append(path)
            for dep, _ in group:
                module, loses = dep.target.module, graph.is_out_channel_pruning_fn(dep.handler)
                is_last = loses and not dep.target.outputs
                if is_last or id(module) in tied or (loses and isinstance(module, nn.RNNBase)):
                    kept.append(path)
                    break
    return layers, kept


@contextmanager
def _explained(what: str = "it does not run with fewer channels") -> Iterator[None]:
    """Whatever code raises that meets other sizes than it was made for is a reason.

    Args:
        what: What goes wrong, for the message.
    """
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # torch-pruning's, of what it guesses
            yield
    except Misfit:
        raise
    except Exception as error:
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Unprunable(f"{what}: {said}") from error


@contextmanager
def _traceable(model: nn.Module) -> Iterator[None]:
    """All parameters with gradients, by which operations are followed."""
    for parameter in model.parameters():
        if parameter.is_floating_point():
            parameter.requires_grad_(True)
    with torch.enable_grad():
        yield


def _with_settings_of(small: nn.Module, model: nn.Module) -> None:
    """Let parameters need gradients, and parts be in the mode, as those of the model do."""
    before = dict(model.named_parameters(remove_duplicate=False))
    for name, parameter in small.named_parameters(remove_duplicate=False):
        parameter.requires_grad_(before[name].requires_grad)
        parameter.grad = None
    for part, was in zip(small.modules(), model.modules(), strict=True):
        part.training = was.training


def _outputs(model: nn.Module, calls: Sequence[PartCall]) -> list[Tensor]:
    """The floating-point tensors that all calls give."""
    made = [module_at(model, path)(*call.args, **call.kwargs) for path, call in calls]
    return [tensor for tensor in tensors_in(made) if tensor.is_floating_point()]


def _shapes(model: nn.Module, calls: Sequence[PartCall]) -> list[list[int]]:
    return [list(tensor.shape) for tensor in _outputs(model, calls)]


def _heads(model: nn.Module) -> dict[nn.Module, int]:
    """How many parts of equal size the channels of attention fall into."""
    return {m: m.num_heads for m in model.modules() if isinstance(m, nn.MultiheadAttention)}


def _with_tied_weights(model: nn.Module) -> set[int]:
    """The ids of modules that have a parameter which another one has too."""
    places: dict[int, list[int]] = {}
    for module in model.modules():
        for parameter in module.parameters(recurse=False):
            places.setdefault(id(parameter), []).append(id(module))
    return {number for found in places.values() if len(found) > 1 for number in found}


def _count(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
