"""The files beside a model: ``export.json``, ``README.md`` and, of ONNX, ``predict.py``."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import nn

from torchassistant.assembly import inference_inputs
from torchassistant.export.exportable import Exportable
from torchassistant.export.exported import FILES, Exported
from torchassistant.export.exported_graph import Tensors
from torchassistant.export.model_card import model_card
from torchassistant.export.onnx_file import OPSET
from torchassistant.export.prediction_files import (
    NotPortable,
    Said,
    described_port,
    described_postprocessor,
    described_preprocessor,
    described_tensors,
    predict_script,
    steps_module,
)
from torchassistant.session import OpenPipeline, class_names, made_postprocessor

KNOWN, CARD = "export.json", "README.md"
SCRIPT, STEPS = "predict.py", "predict_steps.py"


def write_beside(
    opened: OpenPipeline,
    folder: Path,
    format: str,
    models: Mapping[str, nn.Module],
    exportable: Exportable | None,
    made: Exported,
) -> None:
    """Write what belongs to a model: what its data has to be like, a script, and a card.

    Args:
        opened: What was exported.
        folder: Where the model is.
        format: Of the model.
        models: Those in the file, by name.
        exportable: What it was made of; None: of weights alone.
        made: Gets the notes of it.
    """
    said: Said = {
        "file": FILES[format],
        "format": f"onnx, opset {OPSET}" if format == "onnx" else format,
        "pipeline": opened.name,
        "checkpoint": opened.checkpoint.name,
        "preprocessors": _preprocessors(opened),
        "labels": class_names(opened.session.datasets),
    }
    sample: Tensors = {}
    if exportable is not None and made.comparison is not None:
        sample = exportable.samples[-1]
        outputs = exportable.outputs_of(sample)
        said |= described_tensors(exportable, outputs, made.comparison.shapes)
        said["results"] = exportable.forms()
        state = exportable.module.wiring.state
        if state is not None:
            first = exportable.samples[0]
            said["start"] = {name: first[name].tolist() for name in state.inputs}
        if format == "onnx":
            ports, why = _ports(opened, exportable)
            said["ports"] = ports
            said["postprocessor"] = None
            if ports is None:
                made.notes.append(f"{SCRIPT} takes .npz of arrays, and no texts: {why}")
            else:
                said["postprocessor"] = _postprocessor(opened, said["results"], made.notes)
                steps = steps_module(ports, said["postprocessor"])
                (folder / STEPS).write_text(steps, "utf-8")
            (folder / SCRIPT).write_text(predict_script(ports, why), "utf-8")
    text = json.dumps(said, indent=1, ensure_ascii=False)
    (folder / KNOWN).write_text(text + "\n", "utf-8")
    card = model_card(opened, said, made, models, sample)
    (folder / CARD).write_text(card, "utf-8")


def _preprocessors(opened: OpenPipeline) -> dict[str, Any]:
    """What the preprocessors have learnt, by name; of the user's own, which class it is."""
    found: dict[str, Any] = {}
    for name, preprocessor in opened.session.preprocessors.items():
        try:
            found[name] = described_preprocessor(preprocessor)
        except NotPortable:
            kind = type(preprocessor)
            found[name] = {"class": f"{kind.__module__}.{kind.__qualname__}"}
    return found


def _ports(opened: OpenPipeline, exportable: Exportable) -> tuple[list[Said] | None, str]:
    """How the texts of inputs become the inputs of the file; None, and why, where that is open."""
    if exportable.boundary.before is not None:
        return None, "an adapter is not in the file"
    pipeline = opened.session.spec.initialize.pipelines[opened.name]
    if any(item.loader_factory is None for item in pipeline.input_factories):
        return None, "another pipeline feeds a port"
    try:
        inputs = inference_inputs(opened.session.builder, pipeline, opened.config)
        columns = exportable.module.wiring.columns
        known = {port.port: [c.column for c in columns if c.port == port.port] for port in inputs}
        return [described_port(port, known[port.port]) for port in inputs], ""
    except NotPortable as error:
        return None, str(error)


def _postprocessor(opened: OpenPipeline, outputs: Sequence[str], notes: list[str]) -> Said | None:
    """What is done with the outputs before they are printed."""
    session, config = opened.session, opened.config
    device = config.output_device
    if device is not None and (device.class_ or "").rpartition(".")[2] != "Printer":
        notes.append(f"{SCRIPT} prints predictions, and has no other output device")
    datasets = session.datasets
    postprocessor = made_postprocessor(session, session.builder, config)
    session.datasets = datasets
    if postprocessor is None:
        return None
    try:
        return described_postprocessor(postprocessor, outputs)
    except NotPortable as error:
        notes.append(f"{SCRIPT} prints outputs as they are: {error}")
        return None
