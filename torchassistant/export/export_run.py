"""A pipeline of a session becomes files that need no session."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from functools import partial
from pathlib import Path

import torch

from torchassistant.errors import ConfigError, SessionError, UserCodeError, UserError, shown_path
from torchassistant.export.exportable import CutOff, Exportable, Planner
from torchassistant.export.exported import FILES, Exported
from torchassistant.export.files_beside import write_beside
from torchassistant.export.measuring import measured
from torchassistant.export.onnx_file import OnnxFile, expect_numbers, write_onnx
from torchassistant.export.onnx_rounding import rounds
from torchassistant.export.packages import ONNX, expect_packages
from torchassistant.export.pt2_file import Pt2File, write_pt2
from torchassistant.export.requested_axes import Requested, requested
from torchassistant.export.sample_batches import SIZES, sample_batches
from torchassistant.export.tracing import traced
from torchassistant.export.verification import ROUNDED, TOLERANCES, Run, compared
from torchassistant.export.weights_file import write_weights
from torchassistant.rebuilding import weights_by_operator
from torchassistant.session import LAST, OpenPipeline, expect_text, new_folder, open_pipeline

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16}


def export_session(
    source: str | Path,
    output: str | Path,
    *,
    format: str,
    pipeline: str | None = None,
    checkpoint: str = LAST,
    batch: int | None = None,
    dynamic: Sequence[str] = (),
    dtype: str | None = None,
    metric: bool = False,
    settings: Sequence[str] = (),
    trust: Sequence[str] = (),
    allow_download: bool = False,
    allow_write: Sequence[str] = (),
) -> Exported:
    """Write the graph of a pipeline as a file, and verify it.

    Args:
        source: A session folder, or an inference config.
        output: The folder that is made.
        format: ``onnx``, ``pt2`` or ``safetensors``.
        pipeline: Its name; left out: as the config says, else the last validation pipeline.
        checkpoint: ``last``, ``best`` or a step.
        batch: The only size of batches; None: any.
        dynamic: Further axes of any size, each as ``INPUT:AXIS``.
        dtype: ``float16`` or ``bfloat16``; None: as the models are.
        metric: Whether losses and metrics are computed with the file, beside torch's.
        settings: What is to be changed in the config or in the session's, as ``PATH=VALUE``.
        trust: Modules that the configs may name, beyond those that any config may.
        allow_download: Whether they may download, follow addresses and unpack what nobody pinned.
        allow_write: Folders that they may write into, beyond those that any config may.

    Raises:
        ConfigError: A package is missing; there is no such format, pipeline, input or axis.
        NotTraceable: The graph cannot be written in the format.
        NotEqual: The file gives something else than torch; then there is none.
        SessionError: There is no such session; or the folder is there, or in the session's.
        UserCodeError: The user's code raised.
    """
    if format not in FILES:
        raise ConfigError(f'"{format}" is no format; there are onnx, pt2 and safetensors')
    if format == "onnx":
        expect_packages(ONNX)
    if metric and format == "safetensors":
        raise ConfigError("safetensors holds weights, and no graph that --metric could measure")
    opening = partial(
        open_pipeline,
        source,
        pipeline=pipeline,
        scored=metric,
        settings=settings,
        trust=trust,
        allow_download=allow_download,
        allow_write=allow_write,
        checkpoint=checkpoint,
    )
    opened = opening()
    folder = Path(output)
    _expect_free(folder, opened)
    chosen_dtype = None if dtype is None else DTYPES[dtype]
    with new_folder(folder) as aside:
        made = Exported(folder)
        if format == "safetensors":
            planner = _planner(opened, SIZES[:1], None)
            write_weights(planner.models, aside / FILES[format], chosen_dtype)
            write_beside(opened, aside, format, planner.models, None, made)
            return made
        wanted = requested(batch, dynamic)
        exportable, run = _export_graph(opened, aside, made, format, wanted, chosen_dtype)
        if metric:
            # The models compute in another precision by now; torch's metrics are those in its own.
            plain = opened if chosen_dtype is None else opening()
            made.measured = measured(plain.pipeline, exportable, run)
        write_beside(opened, aside, format, exportable.module.named, exportable, made)
        return made


def _expect_free(folder: Path, opened: OpenPipeline) -> None:
    expect_text(folder.absolute(), "an export")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise SessionError(f"{shown_path(folder)} is there already; -o names a new folder")
    session = opened.session.path.resolve()
    if session in (folder.resolve(), *folder.resolve().parents):
        raise SessionError(
            f"{shown_path(folder)} is in the folder of the session, which holds what it trains "
            "with only; -o names a folder elsewhere"
        )


def _planner(opened: OpenPipeline, sizes: Sequence[int], dtype: torch.dtype | None) -> Planner:
    frames = sample_batches(opened.pipeline, sizes)
    return Planner(opened.pipeline, opened.config.results, frames, sizes, dtype)


def _export_graph(
    opened: OpenPipeline,
    aside: Path,
    made: Exported,
    format: str,
    wanted: Requested,
    dtype: torch.dtype | None,
) -> tuple[Exportable, Run]:
    sizes = SIZES if wanted.batch is None else (wanted.batch, wanted.batch)
    planner = _planner(opened, sizes, dtype)
    with weights_by_operator() if format == "onnx" else nullcontext():
        exportable, program = _traced(planner, wanted, made.notes)
    path = aside / FILES[format]
    outputs = exportable.outputs_of(exportable.samples[-1])
    run: Run
    if format == "onnx":
        expect_numbers(outputs)
        write_onnx(program, list(outputs), exportable.axis_names(), path)
        run = OnnxFile(path, dtype)
    else:
        write_pt2(program, path)
        run = Pt2File(path)
    batches = list(zip(sizes, exportable.samples, strict=True))
    batches += wanted.further(exportable, batches)
    tolerance = ROUNDED if rounds(program) else TOLERANCES[dtype or torch.float32]
    made.comparison = compared(exportable, run, batches, tolerance)
    return exportable, run


def _traced(
    planner: Planner, wanted: Requested, notes: list[str]
) -> tuple[Exportable, torch.export.ExportedProgram]:
    """The program of the graph: by ``run_inference`` where that can be traced."""
    if planner.infers:
        try:
            return _traced_so(planner, wanted, notes, by_inference=True)
        except (UserError, UserCodeError) as error:
            cause = "" if error.__cause__ is None else f": {error.__cause__}"
            said = f"{error}{cause}".partition("\n")[0]
            notes.append(f"forward is in the file, and not run_inference: {said}")
    return _traced_so(planner, wanted, notes, by_inference=False)


def _traced_so(
    planner: Planner, wanted: Requested, notes: list[str], by_inference: bool
) -> tuple[Exportable, torch.export.ExportedProgram]:
    cut = list(planner.drawing)
    told = [_outside(name, planner, "it draws random numbers") for name in cut]
    while True:
        try:
            exportable = wanted.applied(planner.planned(cut, by_inference))
            found = traced(exportable)
        except CutOff as error:
            cut.append(error.processor)
            said = str(error.error).strip().partition("\n")[0] or type(error.error).__name__
            told.append(_outside(error.processor, planner, f"it cannot be traced: {said}"))
            continue
        notes += told
        return found


def _outside(name: str, planner: Planner, why: str) -> str:
    """That an adapter stays outside of the file."""
    processor = planner.graph.processors[name]
    what = "the input adapter of" if processor.nodes else "the batch processor"
    return f'{what} "{name}" is not in the file, whose inputs are what it gives: {why}'
