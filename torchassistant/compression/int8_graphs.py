"""Post-training quantisation by torchao: which values of a forward pass are rounded, and how.

torchao's quantizer for x86 decides which values a backend with integer kernels would round, and its
observers take down their range. What it finds is kept as data; weights are rounded elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from torch import fx, nn
from torch.export import ExportedProgram

from torchassistant.compat.quantisation import rounding_operators
from torchassistant.compression.calls import ModelCall, PartCall, with_rows
from torchassistant.rebuilding import Misfit, explained, input_as_data, module_at, traced

_LAYERS = {"aten.linear.default": nn.Linear, "aten.conv2d.default": nn.Conv2d}
_ROWS = 4
"""A graph is traced with so many examples, and holds for any number of them."""


def int8_graphs(
    model: nn.Module, calls: Sequence[PartCall], is_dynamic: bool
) -> list[dict[str, Any]]:
    """The steps by which a model, or each part of it that is called, rounds values.

    Args:
        model: Stays as it is.
        calls: What it is called with, for some batches.
        is_dynamic: Whether scales follow from the values of each batch.

    Raises:
        Misfit: It cannot be traced, or has no layers that torchao knows.
    """
    by_path: dict[str, list[ModelCall]] = {}
    for path, call in calls:
        by_path.setdefault(path, []).append(call)
    if not by_path:
        raise Misfit("no training pipeline of the last stage calls it")
    return [_step(model, path, own, is_dynamic) for path, own in by_path.items()]


def _step(
    model: nn.Module, path: str, calls: Sequence[ModelCall], is_dynamic: bool
) -> dict[str, Any]:
    module, first = module_at(model, path), with_rows(calls[0], _ROWS)
    args = [input_as_data(value) for value in first.args]
    kwargs = {name: input_as_data(value) for name, value in first.kwargs.items()}
    program = traced(module, first.args, first.kwargs)
    same = [call for call in calls if _form(call) == _form(calls[0])]
    with explained("torchao cannot round its values"):
        graph = _quantised(program, same, is_dynamic)
        values = _values(graph, program)
    if not values:
        raise Misfit("it has no layer that integer kernels compute")
    return {"kind": "int8_graph", "path": path, "args": args, "kwargs": kwargs, "values": values}


def _form(call: ModelCall) -> Any:
    def of(value: Any) -> Any:
        data = input_as_data(value)
        return {**data, "shape": len(data["shape"])} if "shape" in data else data

    return [of(one) for one in call.args], {name: of(one) for name, one in call.kwargs.items()}


def _quantised(
    program: ExportedProgram, calls: Sequence[ModelCall], is_dynamic: bool
) -> fx.GraphModule:
    from torchao.quantization.pt2e.quantize_pt2e import convert_pt2e, prepare_pt2e
    from torchao.quantization.pt2e.quantizer.x86_inductor_quantizer import (
        X86InductorQuantizer,
        get_default_x86_inductor_quantization_config,
    )

    how = get_default_x86_inductor_quantization_config(is_dynamic=is_dynamic)
    quantizer = X86InductorQuantizer().set_global(how)
    module = program.module(check_guards=False)
    _name_calls_apart(module)
    prepared = prepare_pt2e(module, quantizer)
    for call in calls:
        prepared(*call.args, **call.kwargs)
    return convert_pt2e(prepared)


def _name_calls_apart(module: fx.GraphModule) -> None:
    """Let each call of a layer be one of its own, as of a ``ReLU`` that a model calls twice.

    torchao's quantizer refuses layers that are called several times, and knows no subclasses.
    """
    for node in module.graph.nodes:
        stack = node.meta.get("nn_module_stack") or {"": ("", nn.Module)}
        if node.op == "call_function":
            *_, (key, (path, kind)) = stack.items()
            own = (f"{path}:{node.name}", _LAYERS.get(str(node.target), kind))
            node.meta["nn_module_stack"] = {**stack, key: own}


def _values(graph: fx.GraphModule, program: ExportedProgram) -> list[dict[str, Any]]:
    """The values that a quantised graph rounds, by the names of the graph that it was made of."""
    operators = rounding_operators().quantize_per_tensor
    own = {node.name: node for node in program.graph.nodes}
    left = {node.name for node in graph.graph.nodes}
    # An input that is named as a function of Python, as "input", is renamed.
    given = [node.name for node in graph.graph.nodes if node.op == "placeholder"]
    inputs = [node.name for node in program.graph.nodes if node.op == "placeholder"]
    renamed = dict(zip(given, inputs[len(inputs) - len(given) :], strict=True))
    found = []
    for node in graph.graph.nodes:
        if node.target not in (operators.default, operators.tensor):
            continue
        rounded = own.get(renamed.get(node.args[0].name, node.args[0].name))
        if rounded is None:  # it stands for a weight
            continue
        giver = _before_folding(rounded, left)
        readers = {user.name for back in node.users for user in back.users}
        readers &= {user.name for user in giver.users}
        if readers:
            value: dict[str, Any] = {"node": giver.name, "readers": sorted(readers)}
            if node.target is operators.default:
                value |= {"scale": float(node.args[1]), "zero_point": int(node.args[2])}
            found.append(value)
    return found


def _before_folding(node: fx.Node, left: set[str]) -> fx.Node:
    """The node that gives what a layer gives into which the batch norm after it was folded."""
    readers = list(node.users)
    return readers[0] if len(readers) == 1 and readers[0].name not in left else node
