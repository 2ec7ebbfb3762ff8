"""How the model of a node is called: plainly, keeping its buffers, compiled, or twice."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from types import FunctionType, MethodType
from typing import Any, cast

import torch
from torch import nn
from torch.utils.checkpoint import checkpoint

from torchassistant.compat.modules import own_buffers
from torchassistant.graph.freezing import Buffer, sparing_call
from torchassistant.graph.mode import in_eval_mode
from torchassistant.graph.node_values import Call, Place, keyed_call, keyword_call
from torchassistant.graph.taps import Tap, tapped_call
from torchassistant.lateimports import keep_probes_away


@dataclass(frozen=True, slots=True)
class Compiling:
    """What ``torch.compile`` is asked for.

    Args:
        backend: The name of a compiler that torch knows.
        mode: ``default``, ``reduce-overhead``, ``max-autotune`` or
            ``max-autotune-no-cudagraphs``; None leaves it to the backend.
        fullgraph: Whether what cannot be compiled as one graph is an error.
        dynamic: Whether shapes are taken to change; None finds it out.
    """

    backend: str = "inductor"
    mode: str | None = None
    fullgraph: bool = False
    dynamic: bool | None = None

    def __call__(self, function: Call) -> Call:
        """The same function, compiled when it is first called."""
        keep_probes_away()
        compiled: Call = torch.compile(
            _with_code_of_its_own(function),
            backend=self.backend,
            mode=self.mode,
            fullgraph=self.fullgraph,
            dynamic=self.dynamic,
        )
        return compiled


def _with_code_of_its_own(function: Call) -> Call:
    """A method of which torch counts the compiled forms by itself.

    It keeps a few for each piece of code, and after that compiles no more: the methods of many
    objects would share these few.
    """
    if not isinstance(function, MethodType):
        return function
    shared = cast(FunctionType, function.__func__)
    code = shared.__code__.replace(co_name=f"{shared.__name__}_{id(function.__self__)}")
    own = FunctionType(code, shared.__globals__, shared.__name__, shared.__defaults__)
    return MethodType(own, function.__self__)


_NOWHERE = Place("", "")


@dataclass(frozen=True, slots=True, eq=False)
class Calling:
    """How a node's model is called.

    Args:
        forward: What is called in place of the model, as its compiled form; None is the model.
        checkpoints: Whether activations are dropped in training, and computed again in the
            backward pass.
        in_eval_mode: Whether the model runs in eval mode in training too.
        keeps_buffers: Whether its buffers are in training as they were before; None: where it is
            not trained.
        without_gradient: Whether nothing flows back through the model, as it is an average.
        memory_format: What tensors with as many axes are converted to; None leaves them.
        parameters: The model's names for the inputs; None: it is called with them in order.
        keys: The model's names for the outputs; None: it returns them in order.
        outputs: The names of what the model returns, where it has taps.
        taps: What else it gives: values from inside of it.
        place: The node, for messages.
    """

    forward: Call | None = None
    checkpoints: bool = False
    in_eval_mode: bool = False
    keeps_buffers: bool | None = None
    without_gradient: bool = False
    memory_format: torch.memory_format | None = None
    parameters: Sequence[str] | None = None
    keys: Sequence[str] | None = None
    outputs: Sequence[str] = ()
    taps: Sequence[Tap] = ()
    place: Place = _NOWHERE

    def plain(self, model: nn.Module) -> Call:
        """The call for evaluation."""
        return self._tapped(model, self._called(model))

    def training(self, model: nn.Module, is_trained: bool, frozen: Sequence[Buffer] = ()) -> Call:
        """The call for training; a model that is not trained keeps its buffers.

        Args:
            model: What is called.
            is_trained: Whether the graph trains it.
            frozen: Buffers of it that stay as they are.
        """
        call = sparing_call(frozen, self.guarded(model, self._called(model), is_trained))
        if self.without_gradient:
            return self._tapped(model, gradient_free_call(call))
        return self._tapped(model, checkpointed_call(model, call) if self.checkpoints else call)

    def guarded(self, model: nn.Module, call: Call, is_trained: bool) -> Call:
        """A call in training that runs the model somewhere inside, as this node runs it.

        Args:
            model: Whose mode and buffers.
            call: Runs the model.
            is_trained: Whether the model is trained there.
        """
        if self.in_eval_mode:
            call = evaluating_call(model, call)
        return keeping_call(model, call) if self.keeps(is_trained) else call

    def keeps(self, is_trained: bool) -> bool:
        """Whether buffers are afterwards as they were before a call in training."""
        return not is_trained if self.keeps_buffers is None else self.keeps_buffers

    def inference(self, model: nn.Module) -> Call:
        """The call for a prediction: the model's ``run_inference`` where it has one."""
        special = getattr(model, "run_inference", None)
        return self.plain(model) if special is None else self._tapped(model, self._named(special))

    def _called(self, model: nn.Module) -> Call:
        # What torch makes of a model asks it for its length, where it is asked whether it is true.
        return self._named(model if self.forward is None else self.forward)

    def _named(self, call: Call) -> Call:
        if self.parameters is not None:
            call = keyword_call(call, self.parameters)
        return call if self.keys is None else keyed_call(call, self.keys, self.place)

    def _tapped(self, model: nn.Module, call: Call) -> Call:
        # Around all else: what is computed again for the backward pass is not tapped again.
        call = self._formatted(call)
        if not self.taps:
            return call
        return tapped_call(model, call, self.taps, self.outputs, self.place)

    def _formatted(self, call: Call) -> Call:
        return call if self.memory_format is None else formatted_call(call, self.memory_format)


def evaluating_call(model: nn.Module, call: Call) -> Call:
    """A call of a model in eval mode, whichever it is in; gradient flows as ever.

    Args:
        model: Whose mode.
        call: Calls the model.
    """

    def in_eval(*args: Any) -> Any:
        if not model.training:  # settled for the whole stage, where no node runs it in train mode
            return call(*args)
        with in_eval_mode([model]):
            return call(*args)

    return in_eval


def keeping_call(model: nn.Module, call: Call) -> Call:
    """A call of a model that leaves its buffers as they are, in train mode too.

    A batch norm layer, for one, updates its running statistics whenever it runs in train mode.
    The call works on copies of the buffers; gradient flows as ever.

    Args:
        model: Whose buffers.
        call: Calls the model.
    """
    if next(model.buffers(), None) is None:
        return call

    def keeping(*args: Any) -> Any:
        if not model.training:
            return call(*args)
        with _buffers(_copies_of(model)):
            return call(*args)

    return keeping


def gradient_free_call(call: Call) -> Call:
    """A call that nothing flows back through."""

    def without_gradient(*args: Any) -> Any:
        with torch.no_grad():
            return call(*args)

    return without_gradient


def checkpointed_call(model: nn.Module, call: Call) -> Call:
    """A call whose activations are not kept for the backward pass, but computed again there.

    The second computation draws the random numbers, and sees the buffers, of the first, and what it
    does to buffers is dropped: gradients are the same to the bit (T. Chen et al., "Training Deep
    Nets with Sublinear Memory Cost", 2016).

    Args:
        model: Whose activations.
        call: Calls the model.
    """

    def computed_twice(*args: Any) -> Any:
        if not torch.is_grad_enabled():
            return call(*args)
        before = _copies_of(model)
        is_first = True

        def compute(*inner: Any) -> Any:
            nonlocal is_first
            if is_first:
                is_first = False
                return call(*inner)
            with _buffers([(part, name, copy.clone()) for part, name, copy in before]):
                return call(*inner)

        return checkpoint(compute, *args, use_reentrant=False)

    return computed_twice


def formatted_call(call: Call, memory_format: torch.memory_format) -> Call:
    """A call whose image tensors (B, C, H, W) (or (B, C, D, H, W)) come in a memory format."""
    axes = 5 if memory_format is torch.channels_last_3d else 4

    def in_format(*args: Any) -> Any:
        return call(
            *(
                value.contiguous(memory_format=memory_format)
                if isinstance(value, torch.Tensor) and value.ndim == axes
                else value
                for value in args
            )
        )

    return in_format


_Buffers = list[tuple[nn.Module, str, torch.Tensor]]
"""Buffers with the module that each is of, and the name that it has there."""


def _copies_of(model: nn.Module) -> _Buffers:
    """Copies of all buffers; what is shared stays so."""
    copies: dict[int, torch.Tensor] = {}
    return [
        (part, name, copies.setdefault(id(buffer), buffer.clone()))
        for part in model.modules()
        for name, buffer in own_buffers(part).items()
        if buffer is not None
    ]


@contextmanager
def _buffers(buffers: _Buffers) -> Iterator[None]:
    """Their modules have these buffers inside, and afterwards their own again."""
    own = [(part, name, own_buffers(part)[name]) for part, name, _ in buffers]
    for part, name, buffer in buffers:
        own_buffers(part)[name] = buffer
    try:
        yield
    finally:
        for part, name, mine in own:
            own_buffers(part)[name] = mine
