"""The files beside a model: what it needs to know as JSON, and a script that predicts with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from textwrap import fill
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
from torchassistant.postprocessors import BestClass, DecodedText
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
    raise NotPortable(f"the preprocessor {kind.__qualname__} is not built in")


def described_postprocessor(postprocessor: Any, outputs: Iterable[str]) -> Said:
    """What a post-processor does, as plain data.

    Args:
        postprocessor: It.
        outputs: The names of the outputs of the file.

    Raises:
        NotPortable: It is not built in, or reads what the file does not give.
    """
    kind = type(postprocessor)
    if kind not in (BestClass, DecodedText):
        raise NotPortable("the post-processor is your own")
    if postprocessor.column not in outputs:
        raise NotPortable(f'the post-processor reads "{postprocessor.column}", which is no output')
    if kind is BestClass:
        names = postprocessor.names
        return {"does": "best_class", "column": postprocessor.column, "names": names}
    words = postprocessor.tokenizer.words
    return {"does": "decoded_text", "column": postprocessor.column, "words": words}


def described_port(port: InferenceInput, columns: Sequence[str]) -> Said:
    """How the text of an input becomes the columns of a port.

    Args:
        port: The port, and what its inputs go through.
        columns: The names of those of its columns that are inputs.

    Raises:
        NotPortable: A part of it is not built in.
    """
    converter = _converter(port.converter)
    is_raw = not isinstance(port.converter, JsonValue)
    wanted = port.transform.wanted
    if wanted is not False and (is_raw or wanted) and port.transform.own.apply is not None:
        dataset = port.transform.own.dataset
        raise NotPortable(f'the transform of the dataset "{dataset}" is not built in')
    layers = [
        [None if process is None else described_preprocessor(_owner(process)) for process in layer]
        for layer in port.layers
    ]
    if converter is None and not _reads_texts(layers):
        raise NotPortable(
            f'no input converter is named for the port "{port.port}"; "inputs_meta" names one, in '
            "an inference config that is exported, or by --set"
        )
    return {
        "port": port.port,
        "converter": converter,
        "preprocessors": layers,
        "collator": _collator(port.collator),
        "columns": _names_of(columns) if port.columns is None else list(port.columns),
    }


def _names_of(columns: Sequence[str]) -> list[str]:
    """The names of all columns up to the last of some that the config gives no names.

    Raises:
        NotPortable: They are the keys of examples that are dicts.
    """
    if not all(re.fullmatch(r"input_\d+", name) for name in columns):
        raise NotPortable("examples are dicts")
    count = max((int(name.rpartition("_")[2]) for name in columns), default=0)
    return [f"input_{number}" for number in range(1, count + 1)]


def _reads_texts(layers: Sequence[Sequence[Said | None]]) -> bool:
    """Whether what comes first for the first column makes something of a text."""
    first = next((layer[0] for layer in layers if layer and layer[0] is not None), None)
    return first is not None and first["does"] in ("text_tokenizer", "categories")


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
    raise NotPortable(f"the input converter {type(converter).__qualname__} is not built in")


def _collator(collator: Any) -> list[Said | None]:
    """What is done to each column before it is a batch; nothing to those beyond."""
    if type(collator) in (DefaultCollator, StackTensors, PadSequences):
        return []
    if type(collator) is not ColumnWise:
        raise NotPortable(f"the collator {type(collator).__qualname__} is not built in")
    found: list[Said | None] = []
    for transform in collator.transforms:
        if transform is None or type(transform) in (Stack, Pad):
            found.append(None)
        elif type(transform) is ImagesToTensor:
            found.append({"does": "pixels"})
        elif type(transform) is OneHot:
            found.append({"does": "one_hot", "num_classes": transform.num_classes})
        else:
            raise NotPortable(f"the collator's {type(transform).__qualname__} is not built in")
    return found


def described_tensors(
    exportable: Exportable,
    outputs: Mapping[str, torch.Tensor],
    shapes: Mapping[str, Sequence[int | str]],
) -> Said:
    """The inputs and outputs of a file, as plain data.

    Args:
        exportable: What the file was made of.
        outputs: What torch makes of a sample.
        shapes: Of the outputs.
    """
    wiring, sample = exportable.module.wiring, exportable.samples[-1]
    input_shapes = exportable.input_shapes()
    columns = {one.name: {"port": one.port, "column": one.column} for one in wiring.columns}
    state = wiring.state
    starts = {} if state is None else dict(zip(state.inputs, state.outputs, strict=True))
    inputs = {
        name: {
            "dtype": _dtype(value),
            "shape": input_shapes[name],
            **columns.get(name, {}),
            **({"carried_from": starts[name]} if name in starts else {}),
        }
        for name, value in sample.items()
    }
    return {
        "inputs": inputs,
        "outputs": {
            name: {"dtype": _dtype(value), "shape": shapes[name]} for name, value in outputs.items()
        },
    }


def _dtype(value: torch.Tensor) -> str:
    return str(value.dtype).removeprefix("torch.")


def pieces_of(said: Sequence[Said]) -> list[str]:
    """The names of the functions that do some things, in the order of the module."""
    used = {one["does"] for one in said}
    used |= {"pixels"} if "image_normalizer" in used else set()
    known = [name for name, value in vars(portable).items() if inspect.isfunction(value)]
    return [name for name in known if name in used]


def _steps(ports: Sequence[Said]) -> Iterator[Said]:
    for port in ports:
        layers = [port["collator"], *port["preprocessors"]]
        steps = [port["converter"], *(step for layer in layers for step in layer)]
        yield from (step for step in steps if step is not None)


def predict_script(ports: Sequence[Said] | None, why: str) -> str:
    """The text of ``predict.py``.

    Args:
        ports: What is done to the text of each input; None: it takes arrays only.
        why: Why it takes arrays only.
    """
    first = "INPUT is a file .npz of arrays by input (batch.npz gives batch.out.npz)"
    if ports is None:
        first = fill(f"{first}, and no text or image: {why}.", 99)
        return _SCRIPT.format(first=first, steps="", main=_OF_ARRAYS)
    named = ", ".join(port["port"] for port in ports)
    first += ", or a text" + (f" for each of {named}" if len(ports) > 1 else "")
    if any(step["does"] == "image_file" for step in _steps(ports)):
        first += "; of an image its path, or a folder of images (Pillow reads them)"
    return _SCRIPT.format(first=fill(f"{first}.", 99), steps=_IMPORT, main=_OF_TEXTS)


def steps_module(ports: Sequence[Said], postprocessor: Said | None) -> str:
    """The text of the module beside it, with what it does to inputs and outputs.

    Args:
        ports: What is done to the text of each input.
        postprocessor: What is done with the outputs; None: they are printed.
    """
    names = pieces_of([*_steps(ports), *([] if postprocessor is None else [postprocessor])])
    functions = [inspect.getsource(getattr(portable, name)) for name in (*names, *_ALWAYS)]
    table = f"STEPS = {{{', '.join(f'{name!r}: {name}' for name in names)}}}\n"
    return "\n\n".join([_STEPS_BEGIN, *functions, table])


_ALWAYS = (
    *("images_in", "grouped", "batch_of", "done"),
    *("lines_of", "labelled", "filled", "shown"),
)
_SCRIPT = """\
\"""Predict with model.onnx, by onnxruntime and numpy: python predict.py INPUT ...

{first}
\"""

import json
import sys
from pathlib import Path

import numpy as np
import onnxruntime
{steps}
HERE = Path(__file__).parent
SAID = json.loads((HERE / "export.json").read_text("utf-8"))
MODEL = onnxruntime.InferenceSession(HERE / "model.onnx")


def run(arrays):
    \"""The outputs for arrays by input; what is carried begins as export.json says.\"""
    arrays = {{**SAID.get("start", {{}}), **arrays}}
    given = {{}}
    for name, said in SAID["inputs"].items():
        if name not in arrays:
            raise ValueError(f"no array is named {{name}}; found {{', '.join(arrays)}}")
        given[name] = np.asarray(arrays[name]).astype(said["dtype"], casting="same_kind")
    return dict(zip(SAID["outputs"], MODEL.run(list(SAID["outputs"]), given)))


def run_file(path):
    np.savez(path.removesuffix(".npz") + ".out.npz", **run(dict(np.load(path))))

{main}

if __name__ == "__main__":
    try:
        main(sys.argv[1:] or sys.exit(__doc__))
    except Exception as error:
        sys.exit(f"error: {{error}}")
"""
_IMPORT = "from predict_steps import STEPS, batch_of, grouped, labelled, lines_of\n"
_OF_ARRAYS = """
def main(texts):
    for text in texts:
        if not text.endswith(".npz"):
            sys.exit(f"error: {text} is no file .npz\\n\\n{__doc__}")
        run_file(text)
"""
_OF_TEXTS = """
def main(texts):
    if all(text.endswith(".npz") for text in texts):
        for text in texts:
            run_file(text)
        return
    groups, status = grouped(texts, SAID["ports"]), 0
    for group in groups:
        label = ", ".join(group)
        try:
            lines = lines_of(run(batch_of(group, SAID, STEPS)), SAID, STEPS)
        except Exception as error:
            where, status = ("" if label in str(error) else f"{label}: "), 1
            print(f"error: {where}{error}", file=sys.stderr)
            continue
        print("\\n".join(lines if groups == [texts] else labelled(label, lines)))
    sys.exit(status)
"""
_STEPS_BEGIN = """\
\"""What predict.py does to inputs and outputs, with numpy alone.\"""

from __future__ import annotations

import json
import os
from typing import Any

import numpy as np
"""
