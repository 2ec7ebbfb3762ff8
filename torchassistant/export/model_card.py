"""The README beside a model: what it is, what it was made of, and how good it is."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

import torch

from torchassistant.config import as_data
from torchassistant.export.measuring import Measured
from torchassistant.session import OpenPipeline

_READ = {
    "onnx": "python predict.py INPUT",
    "pt2": 'torch.export.load("model.pt2").module()({"INPUT": tensor})',
    "safetensors": 'safetensors.torch.load_file("model.safetensors")',
}


def model_card(
    opened: OpenPipeline,
    format: str,
    said: Mapping[str, Any],
    lines: Sequence[str],
    measured: Measured | None,
    sample: Mapping[str, torch.Tensor],
) -> str:
    """The text of the card.

    Args:
        opened: What was exported.
        format: Of the file.
        said: What the JSON file beside it says.
        lines: What was said of the export.
        measured: What the pipeline measures; None: nothing was measured.
        sample: Inputs of the graph, the first examples of its data.
    """
    session, checkpoint = opened.session, opened.checkpoint
    parts = [
        f"# {session.path.name}",
        f'The graph of the pipeline "{opened.name}" of a TorchAssistant session, at step '
        f"{checkpoint.name.lstrip('0') or '0'}; exported as {format}.",
        f"```\n{_READ[format]}\n```",
    ]
    for what in ("inputs", "outputs"):
        if len(said.get(what, ())) > 0:
            rows = [
                f"| `{n}` | {t['dtype']} | {t.get('shape', '')} |" for n, t in said[what].items()
            ]
            parts += [
                f"## {what.title()}",
                "\n".join(["| name | dtype | shape |", "|---|---|---|", *rows]),
            ]
    if lines:
        parts += ["## The export", "\n".join(f"- {line}" for line in lines)]
    scores = session.folder.storage.scores(checkpoint.name)
    if scores or measured is not None:
        parts.append("## Metrics")
    if scores:
        rows = [f"| {name} | {value:.6g} |" for name, value in scores.items()]
        parts.append("\n".join(["| in the history | |", "|---|---|", *rows]))
    if measured is not None:
        rows = [f"| {n} | {v:.6g} | {measured.torch[n]:.6g} |" for n, v in measured.file.items()]
        parts.append(
            "\n".join(["| on the data of the pipeline | file | torch |", "|---|---|---|", *rows])
        )
    parts += ["## Data", _data(opened, sample)]
    config = json.dumps(as_data(session.spec), indent=2, ensure_ascii=False)
    parts += ["## Config", f"```json\n{config}\n```"]
    return "\n\n".join(parts) + "\n"


def _data(opened: OpenPipeline, sample: Mapping[str, torch.Tensor]) -> str:
    """How large the datasets are, and fingerprints of what does not change of them."""
    lines = []
    for name, dataset in opened.session.datasets.items():
        if hasattr(dataset, "__len__"):
            lines.append(f"- {name}: {len(dataset)} examples")
    for name, found in opened.checkpoint.manifest.fixed.items():
        if name.startswith("splits"):
            lines.append(f"- {name}: sha256 {found.get('sha256')}")
    if sample:
        count = next(iter(sample.values())).shape[0] if next(iter(sample.values())).ndim else 1
        lines.append(f"- the first {count} examples, as the graph gets them: sha256 {_sha(sample)}")
    return "\n".join(lines)


def _sha(tensors: Mapping[str, torch.Tensor]) -> str:
    digest = hashlib.sha256()
    for name, value in tensors.items():
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.detach().contiguous().view(-1).view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()
