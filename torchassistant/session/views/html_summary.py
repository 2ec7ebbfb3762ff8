"""What a notebook shows of a session: where it is, what it is made of, how it has gone so far."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from html import escape
from itertools import islice
from typing import Any

from torch import nn
from torch.nn.parameter import is_lazy
from torch.optim import Optimizer

from torchassistant.assembly import Parts
from torchassistant.config import ObjectSpec, Spec
from torchassistant.errors import in_one_line, shown_path
from torchassistant.session.checkpoints.retention import Best, bests_of
from torchassistant.session.folder.session_folder import SessionFolder
from torchassistant.session.history.history import History
from torchassistant.training import Progress

ROWS = 5
"""So many of the last rows of the history are shown."""

_MOST_ROWS = 20
_MOST_COLUMNS = 12
_MOST_LETTERS = 80

Cells = Sequence[object]


class HtmlSummary:
    """The parts of a summary. It holds no script and no style, and names no other file.

    Args:
        parts: The session.
        spec: Its config.
        progress: Where it is.
        history: Its rows.
    """

    def __init__(self, parts: Parts, spec: Spec, progress: Progress, history: History) -> None:
        self.parts = parts
        self.spec = spec
        self.progress = progress
        self.rows = [history.rows(index) for index in range(len(spec.train.stages))]

    def html(self, folder: SessionFolder) -> str:
        """All of it.

        Args:
            folder: Of the session.
        """
        sections = [
            f"<b>Session {_text(folder.path.name)}</b><br>",
            f"{_text(shown_path(folder.path))}<br>{_text(self._standing())}",
            _table("models", ("model", "class", "parameters", "trainable"), self._models()),
            _table("optimizers", ("optimizer", "class", "groups"), self._optimizers()),
            _table("stages", ("stage", "trains", "pipelines", "until", ""), self._stages()),
            self._history(),
            _table("best values", ("column", "", "value", "stage", "epoch"), self._bests()),
        ]
        return f"<div>{''.join(sections)}</div>"

    def _standing(self) -> str:
        progress, count = self.progress, len(self.spec.train.stages)
        done = f"{progress.epoch:,} epochs and {progress.step:,} iterations are done"
        if progress.stage >= count:
            return f"finished: {done}; on {self.parts.device}"
        where = self.spec.stage_title(progress.stage)
        return f"{where} of {count}: {done}; on {self.parts.device}"

    def _models(self) -> Iterable[Cells]:
        for name, model in self.parts.models.items():
            kind = type(model).__name__
            if name in self.parts.averages:
                kind += " (an average)"
            elif name in self.parts.parts_of_models:
                kind += " (part of another)"
            parameters = list(model.parameters())
            trainable = [p for p in parameters if p.requires_grad]
            yield name, kind, _count(parameters), _count(trainable)

    def _optimizers(self) -> Iterable[Cells]:
        for name, optimizer in self.parts.optimizers.items():
            yield name, type(optimizer).__name__, "; ".join(_groups(optimizer))

    def _stages(self) -> Iterable[Cells]:
        # None is built of a session that only predicts.
        built = zip(self.parts.stages, self.spec.train.stages, strict=False)
        for index, (stage, spec) in enumerate(built):
            pipelines = dict.fromkeys(p.name for p in (*stage.training, *stage.validation))
            yield (
                self.spec.stage_title(index),
                ", ".join(self._names_of(stage.trained)),
                ", ".join(pipelines),
                _call(spec.stop_condition),
                self._state(index),
            )

    def _names_of(self, modules: Iterable[nn.Module]) -> list[str]:
        """What the config calls them."""
        named = {id(model): name for name, model in reversed(self.parts.models.items())}
        losses = {id(loss): f"losses.{name}" for name, loss in self.parts.losses.items()}
        known = {**losses, **named}
        return [known[id(module)] for module in modules if id(module) in known]

    def _state(self, index: int) -> str:
        epochs = len({row["epoch"] for row in self.rows[index]})
        if index < self.progress.stage:
            return f"done: {epochs} epochs" if epochs else "left out"
        if index > self.progress.stage or not self.progress.has_begun_stage:
            return "not begun"
        under_way = " and a part" if self.progress.within is not None else ""
        return f"{self.progress.stage_epoch} epochs{under_way} done"

    def _history(self) -> str:
        labels = self.spec.stage_labels
        rows = [
            {"stage": label, **row}
            for label, found in zip(labels, self.rows, strict=True)
            for row in found
        ]
        if not rows:
            return "<p>history: no rows yet</p>"
        last = rows[-ROWS:]
        names = list(dict.fromkeys(name for row in last for name in row))
        shown = names[:_MOST_COLUMNS]
        cut = f", {len(shown)} of {len(names)} columns" if len(names) > len(shown) else ""
        title = f"history: the last {len(last)} of {len(rows)} rows{cut}"
        return _table(title, shown, ([row.get(name) for name in shown] for row in last))

    def _bests(self) -> Iterable[Cells]:
        for best in self._ranked():
            found = [
                (best.rank({best.monitor: value}), index, row)
                for index, rows in enumerate(self.rows)
                for row in rows
                if (value := row.get(best.monitor)) is not None
            ]
            place = min(found, key=lambda item: item[0], default=None)
            if place is not None and place[0] < math.inf:
                _, index, row = place
                label, word = self.spec.stage_labels[index], _WORDS[best.mode]
                yield best.monitor, word, row[best.monitor], label, row["epoch"]

    def _ranked(self) -> Iterable[Best]:
        """What there is a best of: what the config monitors, and losses."""
        known = bests_of(self.spec.checkpoints)
        yield from known
        seen = {best.monitor for best in known}
        for stage in self.parts.stages:
            for (pipeline, shown), column in stage.columns.items():
                found = self.parts.pipelines[pipeline]
                is_loss = shown in (*found.trained_losses, *found.evaluated_losses)
                if is_loss and column not in seen:
                    seen.add(column)
                    yield Best(column, "min", 1)


_WORDS = {"min": "lowest", "max": "highest"}


def _groups(optimizer: Optimizer) -> Iterable[str]:
    for index, group in enumerate(optimizer.param_groups):
        rates = [f"{key} {float(group[key]):.4g}" for key in _SHOWN_OF_GROUPS if key in group]
        count = _count(group["params"])
        yield f"{group.get('name', index)}: {', '.join([f'{count} parameters', *rates])}"


_SHOWN_OF_GROUPS = ("lr", "weight_decay")


def _count(parameters: Iterable[Any]) -> str:
    """How many numbers they hold."""
    parameters = list(parameters)
    if any(is_lazy(p) for p in parameters):
        return "not known yet"
    return f"{sum(p.numel() for p in parameters):,}"


def _call(spec: ObjectSpec | None) -> str:
    if spec is None:
        return ""
    arguments = [*map(repr, spec.args), *(f"{k}={v!r}" for k, v in spec.kwargs.items())]
    return f"{spec.path}({', '.join(arguments)})"


def _table(title: str, header: Sequence[str], rows: Iterable[Cells]) -> str:
    """A table with a title; empty where there are no rows, cut where there are many."""
    found = list(rows)
    if not found:
        return ""
    lines = [_row("th", header), *(_row("td", row) for row in islice(found, _MOST_ROWS))]
    left_out = len(found) - _MOST_ROWS
    more = f"<p>… and {left_out} more</p>" if left_out > 0 else ""
    return f"<p>{_text(title)}</p><table>{''.join(lines)}</table>{more}"


def _row(tag: str, cells: Iterable[object]) -> str:
    return f"<tr>{''.join(f'<{tag}>{_text(cell)}</{tag}>' for cell in cells)}</tr>"


def _text(value: object) -> str:
    """A value as text of HTML: names and paths may hold anything."""
    if value is None:
        return ""
    text = in_one_line(f"{value:.4g}" if isinstance(value, float) else str(value))
    return escape(text if len(text) <= _MOST_LETTERS else f"{text[: _MOST_LETTERS - 1]}…")
