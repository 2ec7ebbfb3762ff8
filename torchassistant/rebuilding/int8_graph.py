"""A forward pass in which values between layers are rounded to bytes, as integer kernels do it.

The graph of the forward pass is traced by torch.export when the model is built. What stands in the
config is which of its values are rounded, and how. The model keeps its class, parts and parameters.
"""

from __future__ import annotations

import copy
import logging
import operator
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from typing import Any

import torch
from torch import Tensor, fx, nn
from torch.export import Dim, ExportedProgram, ShapesCollection, export
from torch.export.graph_signature import InputKind

from torchassistant.compat.quantisation import inputs_in_order, outputs_of, rounding_operators
from torchassistant.rebuilding.misfit import Misfit, module_at

LEAST, MOST = 0, 255
"""The range of the bytes."""
_SMALLEST_SCALE = 2.0**-12
_PLAIN = (type(None), bool, int, float, str)
_GRAPH = "_int8_graph"


def input_as_data(value: Any) -> dict[str, Any]:
    """What stands for an input of a model in the config.

    Raises:
        Misfit: It is no tensor, number or text.
    """
    if isinstance(value, Tensor):
        return {"shape": list(value.shape), "dtype": str(value.dtype).removeprefix("torch.")}
    if isinstance(value, _PLAIN):
        return {"value": value}
    raise Misfit(f"an input of it is a {type(value).__name__}, and no tensor, number or text")


def with_int8_graph(model: nn.Module, step: Mapping[str, Any]) -> nn.Module:
    """Let a model, or a part of it, round values of its forward pass.

    Args:
        model: Is changed. Where it trains, and for inputs of another form, it computes as before.
        step: The ``path`` of the part; ``args`` and ``kwargs`` as :func:`input_as_data` gives
            them; ``values``, each with the ``node`` of the graph, its ``readers``, and ``scale``
            and ``zero_point``, which are None where they follow from the values.

    Raises:
        Misfit: There is no such part, it cannot be traced, or its graph has no such node.
    """
    module = module_at(model, step["path"])
    device = next((one.device for one in model.parameters()), torch.device("cpu"))
    args = [_input_like(one, device) for one in step["args"]]
    kwargs = {name: _input_like(one, device) for name, one in step["kwargs"].items()}
    program = traced(module, args, kwargs)
    _round(program.graph_module, step["values"])
    base = type(module)
    own = {"__module__": __name__, "forward": _forward(base)}
    module.__class__ = type(f"Int8Graph{base.__name__}", (base,), own)
    object.__setattr__(module, _GRAPH, Int8Graph(program))
    return model


def traced(module: nn.Module, args: Sequence[Any], kwargs: Mapping[str, Any]) -> ExportedProgram:
    """The graph of a forward pass in eval mode, for inputs of one form and of any size.

    Args:
        module: Stays as it is.
        args: Inputs of that form.
        kwargs: Likewise, by name.

    Raises:
        Misfit: It cannot be traced.
    """
    plain = copy.deepcopy(module).eval()
    sizes = ShapesCollection()
    for value in (*args, *kwargs.values()):
        if isinstance(value, Tensor):
            sizes[value] = dict.fromkeys(range(value.ndim), Dim.AUTO)
    with explained("torch.export cannot trace it"):
        shapes = sizes.dynamic_shapes(plain, tuple(args), dict(kwargs))
        program = export(plain, tuple(args), dict(kwargs), dynamic_shapes=shapes)
    return program


@contextmanager
def explained(what: str) -> Iterator[None]:
    """Whatever goes wrong in a tracer is a misfit; what it writes about itself is left out.

    Args:
        what: What goes wrong, for the message.
    """
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), torch.no_grad(), redirect_stderr(StringIO()):
            warnings.simplefilter("ignore")
            yield
    except Misfit:
        raise
    except Exception as error:
        said = str(error).strip().partition("\n")[0] or type(error).__name__
        raise Misfit(f"{what}: {said}") from error
    finally:
        logging.disable(before)


class Int8Graph:
    """A graph that is run with the parameters of a module.

    Args:
        program: The graph, with the parameters among its inputs.
    """

    def __init__(self, program: ExportedProgram) -> None:
        self.program = program
        program.state_dict.clear()  # the module has its own, as bytes
        self.args, self.kwargs = inputs_in_order(program)
        self.specs = program.graph_signature.input_specs
        places = [node for node in program.graph.nodes if node.op == "placeholder"]
        self.given = [
            (node.meta.get("val"), getattr(spec.arg, "value", None))
            for spec, node in zip(self.specs, places, strict=True)
            if spec.kind is InputKind.USER_INPUT
        ]

    def __deepcopy__(self, memo: dict[int, Any]) -> Int8Graph:
        """The graph itself: it holds no parameters, and nothing changes it."""
        return self

    def values_of(self, args: Sequence[Any], kwargs: Mapping[str, Any]) -> list[Any] | None:
        """The inputs in the order of the graph; None where they are not of its form."""
        if len(args) != len(self.args) or kwargs.keys() != self.kwargs.keys():
            return None
        values: list[Any] = [None] * len(self.given)
        for place, value in zip(self.args, args, strict=True):
            values[place] = value
        for name, place in self.kwargs.items():
            values[place] = kwargs[name]
        sizes: dict[str, int] = {}
        for value, (meta, constant) in zip(values, self.given, strict=True):
            if not isinstance(meta, Tensor):
                if not isinstance(value, _PLAIN) or value != constant:
                    return None
            elif not _is_like(value, meta, sizes):
                return None
        return values

    def run(self, module: nn.Module, values: Sequence[Any]) -> Any:
        """What the graph makes of inputs, as the module's own forward gives it."""
        waiting = iter(values)
        everything = [
            next(waiting) if spec.kind is InputKind.USER_INPUT else self._held(module, spec)
            for spec in self.specs
        ]
        return outputs_of(self.program, self.program.graph_module(*everything))

    def _held(self, module: nn.Module, spec: Any) -> Any:
        if spec.kind in (InputKind.PARAMETER, InputKind.BUFFER):
            owner, _, name = spec.target.rpartition(".")
            return getattr(module.get_submodule(owner), name)
        return self.program.constants[spec.target]


def _is_like(value: Any, meta: Tensor, sizes: dict[str, int]) -> bool:
    """Whether a tensor is one of those that a graph was traced for."""
    if not isinstance(value, Tensor) or value.device != meta.device:
        return False  # the graph makes further tensors where it was traced
    if value.dtype != meta.dtype or value.ndim != meta.ndim:
        return False
    wanted: Any  # a number, or a symbol for any
    for size, wanted in zip(value.shape, meta.shape, strict=True):
        if size != (wanted if isinstance(wanted, int) else sizes.setdefault(str(wanted), size)):
            return False
    return True


def _forward(base: type[nn.Module]) -> Any:
    def forward(self: nn.Module, *args: Any, **kwargs: Any) -> Any:
        graph = vars(self)[_GRAPH]
        values = None if self.training else graph.values_of(args, kwargs)
        if values is None:
            return base.forward(self, *args, **kwargs)
        return graph.run(self, values)

    return forward


def _input_like(data: Mapping[str, Any], device: torch.device) -> Any:
    if data.get("shape") is None:
        return data.get("value")
    dtype = getattr(torch, data["dtype"], None)
    if not isinstance(dtype, torch.dtype):
        raise Misfit(f'there is no type of numbers "{data["dtype"]}"')
    return torch.zeros(data["shape"], dtype=dtype, device=device)


def _round(graph_module: fx.GraphModule, values: Sequence[Mapping[str, Any]]) -> None:
    """Put a rounding between nodes of a graph and some of those that read them."""
    graph = graph_module.graph
    nodes = {node.name: node for node in graph.nodes}
    missing = [n for one in values for n in (one["node"], *one["readers"]) if n not in nodes]
    if missing:
        raise Misfit(
            f'torch {torch.__version__} traces it to a graph that has no "{missing[0]}"; '
            "the session was written by another version"
        )
    for one in values:
        node = nodes[one["node"]]
        after = node.next
        while after.op == "placeholder":
            after = after.next
        with graph.inserting_before(after):
            rounded = _rounded(graph, node, one)
        for reader in one["readers"]:
            nodes[reader].replace_input_with(node, rounded)
    graph.lint()
    graph_module.recompile()


def _rounded(graph: fx.Graph, node: fx.Node, value: Mapping[str, Any]) -> fx.Node:
    operators = rounding_operators()
    to, back = operators.quantize_per_tensor, operators.dequantize_per_tensor
    bytes_ = (LEAST, MOST, torch.uint8)
    if value.get("scale") is not None:
        how: tuple[Any, ...] = (value["scale"], value["zero_point"])
        made = graph.call_function(to.default, (node, *how, *bytes_))
        return graph.call_function(back.default, (made, *how, *bytes_))
    chosen = graph.call_function(
        operators.choose_qparams.tensor, (node, LEAST, MOST, _SMALLEST_SCALE, torch.uint8)
    )
    how = tuple(graph.call_function(operator.getitem, (chosen, index)) for index in (0, 1))
    made = graph.call_function(to.tensor, (node, *how, *bytes_))
    return graph.call_function(back.tensor, (made, *how, *bytes_))
