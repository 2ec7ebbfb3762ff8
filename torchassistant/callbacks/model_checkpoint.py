"""A callback: keeps the weights of models in files of their own, at certain events."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import torch

from torchassistant.callbacks.base import Callback
from torchassistant.callbacks.events import EpochEndEvent, Event, TrainEndEvent, TrainStartEvent
from torchassistant.callbacks.own_folder import make_folder, own_folder
from torchassistant.errors import DataError, near
from torchassistant.whole_files import own_memory, replacing, save_tensors

FOLDER = ("weights", "callbacks")
"""Where such files are below the folder of the session, in a folder for each callback."""

METADATA = "torchassistant"
"""The only entry of a file's metadata."""

EVENTS = ("epoch_end", "iteration_end", "stage_end", "train_end")


class ModelCheckpoint(Callback):
    """Keeps the weights of models, and nothing else, in the folder of the session.

    Each event adds a file for each model, in ``SESSION/weights/callbacks/CALLBACK``:
    ``MODEL-epoch-0003.safetensors`` (``-step-00001500`` for iterations, ``-stage-0`` for stages,
    ``-final`` at the end of the training). ``safetensors.torch.load_file`` reads it, and
    ``load_state_dict`` takes what that gives: parameters and buffers by name, those that share
    memory under each of their names. What modules give as extra state is left out where it is no
    tensor. The metadata of a file has one
    entry, ``torchassistant``: a JSON object with ``model``, ``stage``, ``epoch``, ``step``, and
    with ``monitor`` the ``monitor`` and its ``value``. A file is whole, or not there.

    After a kill files are written again as far as the run has to go back; those that are left over
    are removed. With ``keep_last``, and with what is left over, other files in the folder of the
    callback are removed too.

    Args:
        models: Names of models; None for all but those that are parts of others.
        event: When: ``epoch_end``, ``iteration_end``, ``stage_end`` or ``train_end``.
        every: Only at each event whose number this divides: epochs, iterations and stages are
            counted over the whole run, from 1.
        monitor: A column of the history. Weights are kept only at the end of an epoch whose value
            is better than that of all such epochs before; an empty cell and NaN never are.
        mode: ``min`` where less is better, ``max`` where more is. None is what the metric that is
            monitored says is better; else ``min``.
        keep_last: How many events have files at most, older ones are removed; None for all.

    Raises:
        ValueError: An argument is none of these.
    """

    only_first = True

    def __init__(
        self,
        models: Sequence[str] | None = None,
        event: Literal["epoch_end", "iteration_end", "stage_end", "train_end"] = "epoch_end",
        every: int = 1,
        monitor: str | None = None,
        mode: Literal["min", "max"] | None = None,
        keep_last: int | None = None,
    ) -> None:
        if event not in EVENTS:
            raise ValueError(f'event must be one of {", ".join(EVENTS)}; it is "{event}"')
        if type(every) is not int or every < 1:
            raise ValueError(f"every must be a whole number from 1 on; it is {every!r}")
        if event == "train_end" and every != 1:
            raise ValueError("training ends once; every has no effect there")
        if monitor is not None and event != "epoch_end":
            raise ValueError(
                f"rows are made at the end of epochs; monitor does not go with {event}"
            )
        if mode not in (None, "min", "max") or (mode is not None and monitor is None):
            raise ValueError(f"mode must be min or max, beside monitor; it is {mode!r}")
        if keep_last is not None and (type(keep_last) is not int or keep_last < 1):
            raise ValueError(f"keep_last must be a whole number from 1 on; it is {keep_last!r}")
        self.models = models
        self.event = event
        self.every = every
        self.monitor = monitor
        self.mode = mode
        self.keep_last = keep_last
        self.best: float | None = None
        self.files: list[list[str]] = []
        if event == "iteration_end":
            # The other events cost nothing in an iteration.
            self.on_iteration_end = self._on_event  # type: ignore[method-assign]

    def columns(self, session: Any) -> list[str]:
        """It adds none; its models are looked up.

        Raises:
            DataError: There is no model of a name; or what is given is no list of names.
        """
        names = self.models
        if names is None:
            return []
        if not isinstance(names, (list, tuple)) or not all(isinstance(n, str) for n in names):
            raise DataError(f'"models" must be a list of names; it is {names!r}')
        for name in names:
            if name not in session.models:
                raise DataError(f'no model is named "{name}"{near(name, session.models)}')
        return []

    def on_train_start(self, event: TrainStartEvent) -> None:
        """Remove what a process that died has written past the state that was stored."""
        folder = own_folder(event, FOLDER)
        if all((folder / name).is_file() for names in self.files for name in names):
            self._clear(folder)

    def on_epoch_end(self, event: EpochEndEvent) -> None:
        """Keep the weights, where it is time for that."""
        if self.event != "epoch_end" or event.epoch % self.every != 0:
            return
        if self.monitor is None:
            self._keep(event, f"epoch-{event.epoch:04d}")
            return
        row = event.row
        if self.monitor not in row:
            raise DataError(f'no row has "{self.monitor}"{near(self.monitor, row)}')
        value, sign = row[self.monitor], -1 if self.mode == "max" else 1
        if value is None or math.isnan(value):
            return
        if self.best is None or sign * value < sign * self.best:
            self.best = value
            self._keep(event, f"epoch-{event.epoch:04d}", {"monitor": self.monitor, "value": value})

    def on_stage_end(self, event: Event) -> None:
        """Likewise."""
        if self.event == "stage_end" and (event.stage + 1) % self.every == 0:
            self._keep(event, f"stage-{event.stage}")

    def on_train_end(self, event: TrainEndEvent) -> None:
        """Likewise; nothing is left over now."""
        if self.event == "train_end":
            self._keep(event, "final")
        self._clear(own_folder(event, FOLDER))

    def _on_event(self, event: Event) -> None:
        if event.step % self.every == 0:
            self._keep(event, f"step-{event.step:08d}")

    def state_dict(self) -> dict[str, Any]:
        """What is kept: ``best``, the best value so far, and ``files``, their names by event."""
        return {"best": self.best, "files": [list(names) for names in self.files]}

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a state.

        Raises:
            ValueError: It is none.
        """
        best, files = state.get("best"), state.get("files")
        is_table = isinstance(files, list) and all(isinstance(names, list) for names in files)
        names = [name for names in files for name in names] if is_table and files else []
        is_sound = is_table and all(isinstance(name, str) for name in names)
        if not is_sound or not (best is None or type(best) in (int, float)):
            raise ValueError("it has no best value, and no names of files")
        self.best, self.files = best, [list(names) for names in files or ()]

    def _keep(self, event: Event, suffix: str, more: Mapping[str, Any] | None = None) -> None:
        """Write the files of an event, and remove those that are not to stay."""
        folder = own_folder(event, FOLDER)
        make_folder(folder, FOLDER)
        session = event.session
        models = {name: session.models[name] for name in self.models or session.whole_models}
        names = [f"{name}-{suffix}.safetensors" for name in models]
        metadata = {"stage": event.stage, "epoch": event.epoch, "step": event.step, **(more or {})}
        for (name, model), file in zip(models.items(), names, strict=True):
            # Of several entries safetensors would choose the order, each time another.
            entry = {METADATA: json.dumps({"model": name, **metadata})}
            with replacing(folder / file) as aside:
                save_tensors(_weights_of(model, name), aside, entry)
        self.files = [*(own for own in self.files if own != names), names]
        if self.keep_last is not None:
            self.files = self.files[-self.keep_last :]
            self._clear(folder)

    def _clear(self, folder: Path) -> None:
        """Remove the files that are not, or no longer, among those that are kept."""
        kept = {name for names in self.files for name in names}
        for path in list(_files_in(folder)):
            if path.name not in kept:
                path.unlink(missing_ok=True)


def _files_in(folder: Path) -> Iterator[Path]:
    """The files in there, those that were left aside too; nothing where there is no folder."""
    yield from (p for p in folder.iterdir() if p.is_file()) if folder.is_dir() else ()


def _weights_of(model: torch.nn.Module, name: str) -> dict[str, torch.Tensor]:
    """What its ``state_dict`` has of tensors.

    Raises:
        DataError: One is of a kind that such a file does not hold.
    """
    tensors = {k: v for k, v in model.state_dict().items() if isinstance(v, torch.Tensor)}
    for key, tensor in tensors.items():
        if tensor.layout is not torch.strided or tensor.dtype is torch.complex128:
            kind = f"{tensor.layout} {tensor.dtype}".replace("torch.", "")
            raise DataError(f'the tensor "{key}" of the model "{name}" is {kind}: it is not stored')
    return own_memory(tensors)
