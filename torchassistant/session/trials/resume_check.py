"""A run of a few iterations, and the same with a cut: do they end in the same bits?"""

from __future__ import annotations

import contextlib
import hashlib
import json
import signal
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from torchassistant.codec import CodecError, encode
from torchassistant.data import slots_of
from torchassistant.errors import Interrupted
from torchassistant.parallel import Processes
from torchassistant.session.checkpoints.best_weights import WEIGHTS
from torchassistant.session.checkpoints.bundle import read_state
from torchassistant.session.checkpoints.state_schema import CODE
from torchassistant.session.files.append_only_logs import TIMES
from torchassistant.session.files.durable_files import fingerprint, read_tensors
from torchassistant.session.files.manifest import MANIFEST
from torchassistant.session.folder.session_folder import CHECKPOINTS, SessionFolder
from torchassistant.session.load import load_session
from torchassistant.session.session import Session
from torchassistant.training import Live, Pipeline, Reporter, StopRequest
from torchassistant.whole_files import own_memory

Trace = list[dict[str, Any]]
"""What a run was given, in order: each batch of each loader; and the losses of each iteration."""


def train_traced(
    path: Path,
    until: int,
    trace: Path,
    allowed: Mapping[str, Any],
    processes: Processes | None = None,
) -> tuple[int, int]:
    """Train a session up to an iteration, and write its trace.

    Args:
        path: The session folder.
        until: The iteration after which it is stopped, and saved.
        trace: The file that the trace is added to, one JSON object a line.
        allowed: What the person at the command line allows, as :func:`load_session` takes it.
        processes: Those that train it together; the first one writes the trace.

    Returns:
        The iterations that are done, fewer than asked for where the run is at its end; and the
        epochs.
    """
    processes = processes or Processes()
    session = load_session(path, **allowed, processes=processes)
    if not processes.is_first:
        with contextlib.suppress(Interrupted):
            session.train(Reporter(), processes=processes)
        return session.progress.step, session.progress.epoch
    if processes.size > 1:
        until -= 1  # all others hear of the end with the next step
    with trace.open("a", encoding="utf-8") as file:
        tracer = _Tracer(session, until, file)
        with contextlib.suppress(Interrupted):
            session.train(tracer, tracer.stop, processes=processes)
    return session.progress.step, session.progress.epoch


def first_difference(one: Path, other: Path) -> str | None:
    """The first thing that differs between two traces, or None.

    Args:
        one: The trace of the run without a cut.
        other: That of the run with one.
    """
    first, second = _read(one), _read(other)
    for whole, cut in zip(first, second, strict=False):
        if whole == cut:
            continue
        where = f"iteration {whole['iteration']}"
        if whole.keys() != cut.keys() or whole["iteration"] != cut["iteration"]:
            return f"{where}: the number of batches"
        if "column" in whole:
            return (
                f"{where}: the column {whole['column']} of the batch that the loader factory "
                f'"{whole["loader"]}" gives to the pipeline "{whole["pipeline"]}"'
            )
        names = [*whole["losses"], *cut["losses"]]
        name = next(n for n in names if whole["losses"].get(n) != cut["losses"].get(n))
        values = f"{whole['losses'].get(name)}, {cut['losses'].get(name)}"
        return f'{where}: the loss "{name}" ({values})'
    if len(first) != len(second):
        return "the number of batches"
    return None


def different_state(one: Path, other: Path) -> str | None:
    """The first thing that differs between the last states of two sessions, or None."""
    whole, cut = (_newest(path) for path in (one, other))
    names = sorted(p.relative_to(whole).as_posix() for p in whole.rglob("*") if p.is_file())
    for name in names:
        if name in (MANIFEST, CODE) or name.endswith(".json"):
            continue
        found = _different_tensor(read_tensors(whole / name), read_tensors(cut / name))
        if found is not None:
            return f"{name.removesuffix('.safetensors')}: {found}"
    for name in (n.removesuffix(".json") for n in names if n.endswith(".json")):
        if f"{name}.json" not in (MANIFEST, CODE):
            found = _different_data(_state(whole, name), _state(cut, name), name)
            if found is not None:
                return found
    return _different_rows(one, other)


def _newest(session: Path) -> Path:
    return session / CHECKPOINTS / SessionFolder(session).storage.names()[-1]


def _state(folder: Path, name: str) -> Any:
    files = [p.relative_to(folder).as_posix() for p in folder.rglob("*")]
    state = read_state(folder, name, files)
    half_epoch = state.get("progress", {}).get("within") if isinstance(state, dict) else None
    if half_epoch:
        half_epoch.pop("seconds")
    return state


class _Tracer(Reporter):
    """Writes the trace of a session that is trained, and stops it."""

    def __init__(self, session: Session, until: int, file: Any) -> None:
        self.session = session
        self.until = until
        self.file = file
        self.stop = StopRequest()
        if session.progress.step >= until:
            self.stop.signum = signal.SIGINT

    def batch_loaded(self, pipeline: Pipeline, loader: str, batch: Any) -> None:
        for column, value in _columns(batch):
            self.write(
                iteration=self.session.progress.step + 1,
                pipeline=pipeline.name,
                loader=loader,
                column=column,
                digest=_digest(value),
            )

    def iteration_done(self, live: Live) -> None:
        losses = {name: repr(value) for name, value in live().items()}
        self.write(iteration=self.session.progress.step, losses=losses)
        if self.session.progress.step >= self.until:
            self.stop.signum = signal.SIGINT

    def write(self, **entry: Any) -> None:
        """Add an entry to the trace."""
        self.file.write(json.dumps(entry) + "\n")


def _columns(batch: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(batch, Mapping):
        yield from ((f'"{name}"', value) for name, value in batch.items())
    elif isinstance(batch, (tuple, list)):
        yield from ((str(number), value) for number, value in enumerate(batch, start=1))
    else:
        yield "1", batch


def _digest(value: Any) -> str:
    """A digest of a column, whatever it is made of: the same for the same bits."""
    data, tensors = encode(_as_data(value, 0))
    digest = hashlib.sha256(json.dumps(data, sort_keys=True).encode())
    for name, tensor in own_memory(tensors).items():
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
        digest.update(_bits(tensor).numpy().tobytes())
    return digest.hexdigest()


def _as_data(value: Any, depth: int) -> Any:
    """A value of which a state may be made, for one of any kind."""
    kind = type(value).__qualname__
    if depth > _DEEPEST:
        return kind
    if isinstance(value, Mapping):
        pairs = [(_as_data(k, depth + 1), _as_data(v, depth + 1)) for k, v in value.items()]
        return [kind, pairs]
    if isinstance(value, (list, tuple)):
        return [kind, [_as_data(item, depth + 1) for item in value]]
    if isinstance(value, np.ndarray) and value.dtype.hasobject:
        return [kind, list(value.shape), [_as_data(item, depth + 1) for item in value.flat]]
    try:
        encode(value)
    except CodecError:
        pass
    else:
        return value
    if isinstance(value, (np.ndarray, np.generic)):  # texts, dates, and numbers of other sizes
        return [kind, value.dtype.str, list(value.shape), value.tobytes()]
    if hasattr(value, "tobytes"):  # as images have it
        shape = [repr(getattr(value, name, None)) for name in ("mode", "size", "shape")]
        return [kind, shape, value.tobytes()]
    if isinstance(getattr(value, "__dict__", None), dict):
        return [kind, _as_data(vars(value), depth + 1)]
    own: Any = type(value)
    slots = {name: getattr(value, name, None) for name in slots_of(own)}
    shown = "" if " at 0x" in repr(value) else repr(value)
    return [kind, _as_data(slots, depth + 1) if slots else shown]


_DEEPEST = 20


def _read(trace: Path) -> Trace:
    return [json.loads(line) for line in trace.read_text(encoding="utf-8").splitlines()]


def _different_tensor(
    one: Mapping[str, torch.Tensor], other: Mapping[str, torch.Tensor]
) -> str | None:
    for name, tensor in one.items():
        theirs = other.get(name)
        if theirs is None or theirs.shape != tensor.shape or theirs.dtype != tensor.dtype:
            return f"{name} is there in one of them only, or of another shape"
        if tensor.numel() and not torch.equal(_bits(tensor), _bits(theirs)):
            return name
    return None if one.keys() == other.keys() else "they hold other names"


def _bits(tensor: torch.Tensor) -> torch.Tensor:
    """NaN is not equal to itself; its bits are."""
    return tensor.contiguous().reshape(-1).view(torch.uint8)


def _different_data(one: Any, other: Any, at: str) -> str | None:
    """The path of the first difference in plain data; tensors are compared elsewhere."""
    if isinstance(one, torch.Tensor) and isinstance(other, torch.Tensor):
        return None
    if isinstance(one, dict) and isinstance(other, dict) and one.keys() == other.keys():
        found = (_different_data(one[key], other[key], f"{at}: {key}") for key in one)
    elif isinstance(one, (list, tuple)) and isinstance(other, type(one)) and len(one) == len(other):
        pairs = enumerate(zip(one, other, strict=True))
        found = (_different_data(a, b, f"{at}[{index}]") for index, (a, b) in pairs)
    elif isinstance(one, (set, frozenset)):
        return None if one == other else at
    else:
        return None if repr(one) == repr(other) else at
    return next((path for path in found if path is not None), None)


def _different_rows(one: Path, other: Path) -> str | None:
    for path in sorted((one / "metrics").glob("*.csv")):
        if _rows(path) != _rows(other / "metrics" / path.name):
            return f"metrics/{path.name}"
    data = [_tensor_files(session) for session in (one, other)]
    names = sorted(data[0].keys() | data[1].keys())
    return next((name for name in names if data[0].get(name) != data[1].get(name)), None)


def _rows(path: Path) -> list[str]:
    """The lines of a table without what they say of times, which stands at their end."""
    lines = path.read_text(encoding="utf-8").splitlines()
    if path.name == Path(TIMES).name:
        return [",".join(line.split(",")[:_WHEN]) for line in lines]
    return [line.rpartition(",")[0] for line in lines]


_WHEN = 3
"""The columns of the table of times that are none: stage, epoch, step."""


def _tensor_files(session: Path) -> dict[str, str]:
    """The digests of what stands beside the checkpoints as tensors, by the path in the session."""
    found = [p for part in ("metrics", WEIGHTS) for p in (session / part).rglob("*.safetensors")]
    return {p.relative_to(session).as_posix(): fingerprint(p)["sha256"] for p in found}
