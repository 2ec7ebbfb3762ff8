"""The files beside a model: what it needs to know as JSON, and a script that predicts with it."""

from __future__ import annotations

import ast
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import torch

from torchassistant.assembly import InferenceInput
from torchassistant.collators import (
    ColumnWise,
    DefaultCollator,
    ImagesToTensor,
    OneHot,
    Pad,
    PadSequences,
    Stack,
    StackTensors,
)
from torchassistant.export import portable
from torchassistant.export.exportable import Exportable
from torchassistant.input_converters import ImageFile, JsonValue, Text
from torchassistant.preprocessors import (
    Categories,
    ImageNormalizer,
    NullPreprocessor,
    NumberNormalizer,
    TextTokenizer,
)

Said = dict[str, Any]


class NotPortable(Exception):
    """Something of the user's own stands between a text and the inputs of a file."""


def described_preprocessor(preprocessor: Any) -> Said | None:
    """What a preprocessor has learnt, as plain data; None where it does nothing.

    Raises:
        NotPortable: It is not built in.
    """
    kind = type(preprocessor)
    if kind is NullPreprocessor:
        return None
    if kind in (ImageNormalizer, NumberNormalizer):
        mean, std = preprocessor.mean, preprocessor.std
        scale = torch.where(std == 0, 1.0, std)
        name = "image_normalizer" if kind is ImageNormalizer else "number_normalizer"
        return {"does": name, "mean": mean.tolist(), "scale": scale.tolist()}
    if kind is TextTokenizer:
        words, lowercase = preprocessor.words, preprocessor.lowercase
        return {"does": "text_tokenizer", "words": words, "lowercase": lowercase}
    if kind is Categories:
        return {"does": "categories", "values": preprocessor.state_dict()["values"]}
    raise NotPortable(f"the preprocessor {kind.__qualname__}")


def described_port(port: InferenceInput) -> Said:
    """How the text of an input becomes the columns of a port.

    Raises:
        NotPortable: A part of it is not built in.
    """
    converter = _converter(port.converter)
    is_raw = not isinstance(port.converter, JsonValue)
    wanted = port.transform.wanted
    if wanted is not False and (is_raw or wanted) and port.transform.own.apply is not None:
        raise NotPortable(f'the transform of the dataset "{port.transform.own.dataset}"')
    layers = [
        [None if process is None else described_preprocessor(_owner(process)) for process in layer]
        for layer in port.layers
    ]
    return {
        "port": port.port,
        "converter": converter,
        "preprocessors": layers,
        "collator": _collator(port.collator),
        "columns": None if port.columns is None else list(port.columns),
    }


def _owner(process: Callable[[Any], Any]) -> Any:
    return getattr(process, "__self__", process)


def _converter(converter: Any) -> Said | None:
    if converter is None or type(converter) is Text:
        return None
    if type(converter) is JsonValue:
        return {"does": "json_value"}
    if type(converter) is ImageFile:
        size = None if converter.size is None else list(converter.size)
        return {"does": "image_file", "mode": converter.mode, "size": size}
    raise NotPortable(f"the input converter {type(converter).__qualname__}")


def _collator(collator: Any) -> list[Said | None]:
    """What is done to each column before it is a batch; nothing to those beyond."""
    if type(collator) in (DefaultCollator, StackTensors, PadSequences):
        return []
    if type(collator) is not ColumnWise:
        raise NotPortable(f"the collator {type(collator).__qualname__}")
    found: list[Said | None] = []
    for transform in collator.transforms:
        if transform is None or type(transform) in (Stack, Pad):
            found.append(None)
        elif type(transform) is ImagesToTensor:
            found.append({"does": "pixels"})
        elif type(transform) is OneHot:
            found.append({"does": "one_hot", "num_classes": transform.num_classes})
        else:
            raise NotPortable(f"the collator's {type(transform).__qualname__}")
    return found


def described_tensors(exportable: Exportable, outputs: Mapping[str, torch.Tensor]) -> Said:
    """The inputs and outputs of a file, as plain data."""
    wiring, sample = exportable.module.wiring, exportable.samples[-1]
    axes = exportable.axis_names(None)
    columns = {one.name: {"port": one.port, "column": one.column} for one in wiring.columns}
    state = wiring.state
    starts = {} if state is None else dict(zip(state.inputs, state.outputs, strict=True))
    inputs = {
        name: {
            "dtype": _dtype(value),
            "shape": [axes[name].get(axis, size) for axis, size in enumerate(value.shape)],
            **columns.get(name, {}),
            **({"carried_from": starts[name]} if name in starts else {}),
        }
        for name, value in sample.items()
    }
    return {
        "inputs": inputs,
        "outputs": {name: {"dtype": _dtype(value)} for name, value in outputs.items()},
    }


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def pieces_of(ports: Sequence[Said]) -> list[str]:
    """The names of the functions that some ports need, in the order of the module."""
    used = {said["does"] for port in ports for said in _steps(port)}
    used |= {"pixels"} if "image_normalizer" in used else set()
    known = [name for name, value in vars(portable).items() if inspect.isfunction(value)]
    return [name for name in known if name in used]


def _steps(port: Said) -> Iterator[Said]:
    layers = [port["collator"], *port["preprocessors"]]
    steps = [port["converter"], *(step for layer in layers for step in layer)]
    return (step for step in steps if step is not None)


def predict_script(ports: Sequence[Said] | None, why: str) -> str:
    """The text of ``predict.py``.

    Args:
        ports: What is done to the text of each input; None: it takes arrays only.
        why: Why it takes arrays only.
    """
    names = [] if ports is None else pieces_of(ports)
    takes = "one text for each port" if ports is not None and len(ports) > 1 else "a text"
    if "image_file" in names:
        takes += " or the path of an image file (which needs Pillow)"
    first = (
        f"An input is {takes}, or a file .npz of arrays by input."
        if ports is not None
        else f"It takes files .npz of arrays by input, as {why}\nis not built in: do it first."
    )
    known = {name: getattr(portable, name) for name in names}
    functions = [_source(function) for function in (*known.values(), portable.shown)]
    if ports is not None:
        functions.insert(-1, _source(portable.in_batch))
    table = f"STEPS = {{{', '.join(f'{name!r}: {name}' for name in names)}}}"
    of_text = (_OF_TEXTS, f"\n\n{table}") if ports is not None else (_OF_ARRAYS, "")
    return _SCRIPT.format(
        first=first, functions="\n\n".join(functions), table=of_text[1], of_text=of_text[0]
    )


def _source(function: Any) -> str:
    """The code of a function, without types and docstring, which would not fit on the page."""
    tree = ast.parse(inspect.getsource(function))
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef):
            node.returns = None
            node.body = node.body[1:] if ast.get_docstring(node) else node.body
        elif isinstance(node, ast.arg):
            node.annotation = None
    return ast.unparse(tree)


_SCRIPT = '''\
"""Predict with model.onnx: python predict.py INPUT ...

{first}
Needs onnxruntime and numpy.
"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime

HERE = Path(__file__).parent
SAID = json.loads((HERE / "export.json").read_text("utf-8"))
MODEL = onnxruntime.InferenceSession(str(HERE / "model.onnx"))

{functions}{table}

def run(arrays):
    """The outputs by name."""
    for name, said in SAID["inputs"].items():
        if "carried_from" in said and name not in arrays:
            arrays[name] = np.array(SAID["start"][name], said["dtype"])
    given = {{n: np.asarray(arrays[n], said["dtype"]) for n, said in SAID["inputs"].items()}}
    return dict(zip(SAID["outputs"], MODEL.run(list(SAID["outputs"]), given)))

{of_text}

def main(texts):
    if not texts:
        sys.exit(__doc__)
    if texts[0].endswith(".npz"):
        for text in texts:
            np.savez(text[:-4] + ".out.npz", **run(dict(np.load(text))))
        return
    count = len(SAID["ports"] or [0])
    groups = [texts[first : first + count] for first in range(0, len(texts), count)]
    for group in groups:
        found = run(arrays_of(group))
        lines = [f"{{name}}: {{shown(found[name])}}" for name in SAID["results"]]
        if len(groups) > 1:
            label = ", ".join(group) + ":"
            is_short = len(lines) == 1
            lines = [f"{{label}} {{lines[0]}}"] if is_short else [label, *("  " + x for x in lines)]
        print("\\n".join(lines))

if __name__ == "__main__":
    main(sys.argv[1:])
'''
_OF_TEXTS = '''\
def done(value, said):
    return value if said is None else STEPS[said["does"]](value, said)

def arrays_of(texts):
    """The inputs of a prediction."""
    columns = {}
    for text, port in zip(texts, SAID["ports"]):
        value = done(text, port["converter"])
        example = value if isinstance(value, list) else [value]
        for steps in [*port["preprocessors"], port["collator"]]:
            example = [done(v, s) for v, s in zip(example, [*steps, *[None] * len(example)])]
        names = port["columns"] or [f"input_{n + 1}" for n in range(len(example))]
        columns |= {(port["port"], name): value for name, value in zip(names, example)}
    said = {n: (s["port"], s["column"]) for n, s in SAID["inputs"].items() if "column" in s}
    return {name: in_batch(columns[where]) for name, where in said.items()}'''
_OF_ARRAYS = """\
def arrays_of(texts):
    sys.exit(__doc__)"""
