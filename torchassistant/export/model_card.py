"""The README beside a model: what it is, what it was made of, and how good it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import nn

from torchassistant.config import as_data
from torchassistant.export.exported import Exported
from torchassistant.session import OpenPipeline

_OF_PROGRESS = ("epoch", "step", "stage")
"""Columns of a history that say when a row was written."""


def model_card(
    opened: OpenPipeline,
    said: Mapping[str, Any],
    made: Exported,
    models: Mapping[str, nn.Module],
    sample: Mapping[str, torch.Tensor],
) -> str:
    """The text of the card.

    Args:
        opened: What was exported.
        said: What the JSON file beside the card says.
        made: What came of the export.
        models: The models in the file, by name.
        sample: Inputs of the graph, the first examples of its data.
    """
    parts = [
        f"# {opened.session.path.name}",
        _first_sentence(opened, said),
        "## Use",
        *_use(said),
        *_tensors(said),
        "## Models",
        _table(["name", "class", "parameters"], _models(models)),
        *_metrics(opened, made),
        *_export(made),
        "## Data",
        _list(_data(opened, sample)),
        "## Config",
        f"<details>\n\n{_code('json', _config(opened))}\n\n</details>",
    ]
    return "\n\n".join(parts) + "\n"


def _first_sentence(opened: OpenPipeline, said: Mapping[str, Any]) -> str:
    scores = opened.session.folder.storage.scores(opened.checkpoint.name)
    when = f"step {opened.checkpoint.name.lstrip('0') or '0'}"
    if "epoch" in scores:
        when = f"epoch {scores['epoch']:g} ({when})"
    what = "The models" if said["format"] == "safetensors" else "The graph"
    return (
        f'{what} of the pipeline "{opened.name}" of a TorchAssistant session, with the weights of '
        f"{when} of the training that the config below describes."
    )


def _use(said: Mapping[str, Any]) -> Iterator[str]:
    """How the file is used, in the languages of its readers."""
    if said["format"] == "safetensors":
        yield "Each tensor is named `MODEL.PARAMETER`."
        yield _code("python", f'weights = safetensors.torch.load_file("{said["file"]}")')
        yield 'A model of another config begins with them by `"weights": {"from": "FOLDER"}`.'
    elif said["format"] == "pt2":
        given = ", ".join(f'"{name}": {name.replace(".", "_")}' for name in said["inputs"])
        yield _code(
            "python",
            f'run = torch.export.load("{said["file"]}").module()\noutputs = run({{{given}}})',
        )
    else:
        ports = said["ports"]
        texts = [] if ports is None else ["python predict.py " + " ".join(map(_shown_input, ports))]
        yield _code("", "\n".join([*texts, "python predict.py batch.npz"]))
        yield (
            "It needs onnxruntime and numpy. The file `.npz` holds an array for each input below, "
            "and `batch.out.npz` then one for each output."
        )
    start = [name for name, one in said.get("inputs", {}).items() if "carried_from" in one]
    if start:
        yield (
            f"Between the batches of a sequence give as {_names(start)} what came out as "
            f"{_names(said['inputs'][name]['carried_from'] for name in start)}."
        )


def _shown_input(port: Mapping[str, Any]) -> str:
    kind = "text" if port["converter"] is None else port["converter"]["does"]
    return {"image_file": "image.png", "json_value": "'[1, 2]'"}.get(kind, "'a text'")


def _tensors(said: Mapping[str, Any]) -> Iterator[str]:
    for what in ("inputs", "outputs"):
        if what in said:
            yield f"## {what.title()}"
            rows = [
                [f"`{name}`", one["dtype"], " × ".join(map(str, one["shape"])) or "a number"]
                for name, one in said[what].items()
            ]
            yield _table(["name", "dtype", "shape"], rows)


def _models(models: Mapping[str, nn.Module]) -> Iterator[list[str]]:
    for name, model in models.items():
        count = sum(parameter.numel() for parameter in model.parameters())
        yield [name, f"`{type(model).__module__}.{type(model).__qualname__}`", f"{count:,}"]


def _metrics(opened: OpenPipeline, made: Exported) -> Iterator[str]:
    scores = opened.session.folder.storage.scores(opened.checkpoint.name)
    rows = [[name, f"{v:.6g}"] for name, v in scores.items() if name not in _OF_PROGRESS]
    if rows or made.measured is not None:
        yield "## Metrics"
    if rows:
        yield _table(["in training", "value"], rows)
    if made.measured is not None:
        torchs = made.measured.torch
        both = [[n, f"{v:.6g}", f"{torchs[n]:.6g}"] for n, v in made.measured.file.items()]
        yield _table([f"on the data of {opened.name}", "this file", "torch"], both)


def _export(made: Exported) -> Iterator[str]:
    lines = [*made.notes, *([] if made.comparison is None else [str(made.comparison)])]
    if lines:
        yield "## Export"
        yield _list(lines)


def _data(opened: OpenPipeline, sample: Mapping[str, torch.Tensor]) -> Iterator[str]:
    """How large the datasets are, and fingerprints of what does not change of them."""
    for name, dataset in opened.session.datasets.items():
        if hasattr(dataset, "__len__"):
            yield f"{name}: {len(dataset)} examples"
    for name, found in opened.checkpoint.manifest.fixed.items():
        if name.startswith("splits"):
            yield f"{name}: sha256 {found.get('sha256')}"
    if sample:
        count = next(iter(sample.values())).shape[0] if next(iter(sample.values())).ndim else 1
        yield f"the first {count} examples, as the graph gets them: sha256 {_sha(sample)}"


def _config(opened: OpenPipeline) -> str:
    """The config, without the place where the session was."""
    data = as_data(opened.session.spec)
    return json.dumps(
        {**data, "session_dir": opened.session.path.name}, indent=2, ensure_ascii=False
    )


def _sha(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# Markdown


def _table(head: Sequence[str], rows: Iterator[Sequence[str]] | Sequence[Sequence[str]]) -> str:
    cells = [[cell.replace("|", r"\|") for cell in row] for row in (head, *rows)]
    cells.insert(1, ["---"] * len(head))
    return "\n".join(f"| {' | '.join(row)} |" for row in cells)


def _list(lines: Iterator[str] | Sequence[str]) -> str:
    return "\n".join(f"- {line}" for line in lines)


def _code(language: str, text: str) -> str:
    fence = "```"
    while fence in text:
        fence += "`"
    return f"{fence}{language}\n{text}\n{fence}"


def _names(names: Iterator[str] | Sequence[str]) -> str:
    return ", ".join(f"`{name}`" for name in names)
