"""The files beside a model: what it needs to know as JSON, and a script that predicts with it."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
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
            f'no input converter is named for the port "{port.port}" ("inputs_meta" of an '
            "inference config names one)"
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
    if ports is None:
        first = f"INPUT is a file .npz of arrays by input, and no text: {why}."
        return _SCRIPT.format(first=first, steps="", functions="", otherwise=_REFUSED)
    first = "INPUT is a text"
    if len(ports) > 1:
        first = f"INPUT is a text for each of {', '.join(port['port'] for port in ports)}"
    if any(step["does"] == "image_file" for step in _steps(ports)):
        first += " (of an image its path: Pillow is needed)"
    first += ", or a file .npz of arrays by input."
    return _SCRIPT.format(first=first, steps=_IMPORT, functions=_OF_TEXTS, otherwise=_PRINTING)


def steps_module(ports: Sequence[Said], postprocessor: Said | None) -> str:
    """The text of the module beside it, with what it does to inputs and outputs.

    Args:
        ports: What is done to the text of each input.
        postprocessor: What is done with the outputs; None: they are printed.
    """
    names = pieces_of([*_steps(ports), *([] if postprocessor is None else [postprocessor])])
    functions = [inspect.getsource(getattr(portable, name)) for name in (*names, "shown")]
    table = f"STEPS = {{{', '.join(f'{name!r}: {name}' for name in names)}}}\n"
    return "\n\n".join([_STEPS_BEGIN, *functions, table])


_SCRIPT = '''\
"""Predict with model.onnx, by onnxruntime and numpy: python predict.py INPUT ...

{first}
Of batch.npz the outputs are in batch.out.npz.
"""

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
    """The outputs for arrays by input; what is carried begins as export.json says."""
    arrays = {{**SAID.get("start", {{}}), **arrays}}
    given = {{n: np.asarray(arrays[n], said["dtype"]) for n, said in SAID["inputs"].items()}}
    return dict(zip(SAID["outputs"], MODEL.run(list(SAID["outputs"]), given)))

{functions}
def main(texts):
    if texts and all(text.endswith(".npz") for text in texts):
        for text in texts:
            np.savez(text.removesuffix(".npz") + ".out.npz", **run(dict(np.load(text))))
        return
{otherwise}

if __name__ == "__main__":
    try:
        main(sys.argv[1:])
    except Exception as error:
        sys.exit(f"{{type(error).__name__}}: {{error}}")
'''
_IMPORT = "from predict_steps import STEPS, shown\n"
_OF_TEXTS = '''
def done(value, said):
    return value if said is None else STEPS[said["does"]](value, said)


def predicted(texts):
    """What there is to print for a text of each port."""
    columns = {}
    for text, port in zip(texts, SAID["ports"]):
        value = done(text, port["converter"])
        example = value if isinstance(value, list) else [value]
        for steps in [*port["preprocessors"], port["collator"]]:
            example = [done(v, s) for v, s in zip(example, [*steps, *[None] * len(example)])]
        columns |= {(port["port"], name): value for name, value in zip(port["columns"], example)}
    inputs = {n: said for n, said in SAID["inputs"].items() if "column" in said}
    found = run({n: np.asarray(columns[s["port"], s["column"]])[None] for n, s in inputs.items()})
    if SAID["postprocessor"] is not None:
        return [shown(done(found, SAID["postprocessor"]))]
    return [f"{name}: {shown(found[name])}" for name in SAID["results"]]

'''
_REFUSED = """\
    sys.exit(__doc__)
"""
_PRINTING = """\
    count = len(SAID["ports"])
    if not texts or len(texts) % count:
        sys.exit(__doc__)
    for first in range(0, len(texts), count):
        group = texts[first : first + count]
        lines = predicted(group)
        if len(texts) > count:
            label = ", ".join(group) + ":"
            several = [label, *("  " + line for line in lines)]
            lines = [f"{label} {lines[0]}"] if len(lines) == 1 else several
        print("\\n".join(lines))
"""
_STEPS_BEGIN = '''\
"""What predict.py does to inputs and outputs, with numpy alone."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
'''
