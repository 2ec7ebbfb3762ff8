"""What the columns of a history are, as far as the config and their names tell."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

Kind = Literal["loss", "metric", "rate", "gradient", "other"]
Mode = Literal["min", "max"]

_RATE, _GRADIENT, _SKIPPED = "lr/", "grad_norm/", "skipped"
_LESS = re.compile(
    r"loss|error|err|perplexity|ppl|mse|mae|rmse|nll|fid|wer|cer|distance|hinge", re.I
)
_MORE = re.compile(
    r"acc|accuracy|f1|f.?score|fbeta|auc|auroc|precision|recall|iou|jaccard|dice|bleu|rouge|r2|map"
    r"|psnr|ssim|kappa|matthews|specificity|sensitivity",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class ColumnKind:
    """What a column shows.

    Args:
        kind: ``rate`` is a learning rate, ``gradient`` a norm of gradients.
        mode: What is better of it; None where nobody knows.
        is_validated: Whether a pipeline that is not trained with gives it.
    """

    kind: Kind
    mode: Mode | None = None
    is_validated: bool = False


def kinds_of(names: Sequence[str], spec: Mapping[str, Any]) -> dict[str, ColumnKind]:
    """What each column shows.

    Args:
        names: The columns.
        spec: The config, which may be damaged.
    """
    shown = list(_shown(spec))
    monitored = dict(_monitored(spec))
    return {name: _kind_of(name, shown, monitored) for name in names}


@dataclass(frozen=True, slots=True)
class _Shown:
    """A display name of a pipeline."""

    name: str
    kind: Kind
    pipeline: str
    is_trained: bool


def _kind_of(name: str, shown: Sequence[_Shown], monitored: Mapping[str, Mode]) -> ColumnKind:
    if name.startswith(_RATE):
        return ColumnKind("rate")
    if name.startswith(_GRADIENT):
        return ColumnKind("gradient")
    if name == _SKIPPED:
        return ColumnKind("other")
    of_name = [
        one
        for one in shown
        if name in (one.name, f"{one.pipeline} {one.name}") or name.startswith(f"{one.name}/")
    ]
    kind: Kind = of_name[0].kind if of_name else "metric"
    is_validated = bool(of_name) and not any(one.is_trained for one in of_name)
    mode = monitored.get(name) or ("min" if kind == "loss" else _mode_by_name(name))
    return ColumnKind(kind, mode, is_validated)


def _mode_by_name(name: str) -> Mode | None:
    words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word]
    if any(_LESS.fullmatch(word) for word in words):
        return "min"
    return "max" if any(_MORE.fullmatch(word) for word in words) else None


def _monitored(spec: Mapping[str, Any]) -> Iterator[tuple[str, Mode]]:
    checkpoints = spec.get("checkpoints")
    given = checkpoints.get("best") if isinstance(checkpoints, dict) else None
    for best in given if isinstance(given, list) else [given]:
        if isinstance(best, dict) and isinstance(best.get("monitor"), str):
            yield best["monitor"], "max" if best.get("mode") == "max" else "min"


def _shown(spec: Mapping[str, Any]) -> Iterator[_Shown]:
    trained = set(_trained(spec))
    for pipeline, found in pipelines_of(spec).items():
        for key, kind, own in (
            ("losses", "loss", "loss_display_name"),
            ("metrics", "metric", "display_name"),
        ):
            for item in _objects(found.get(key)):
                name = item.get(own)
                if isinstance(name, str):
                    yield _Shown(name, kind, pipeline, pipeline in trained)  # type: ignore[arg-type]


def _trained(spec: Mapping[str, Any]) -> Iterator[str]:
    train = spec.get("train")
    for stage in _objects(train.get("stages") if isinstance(train, dict) else None):
        named = stage.get("training_pipelines")
        if isinstance(named, list):
            yield from (name for name in named if isinstance(name, str))


def pipelines_of(spec: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The pipelines of a config, by name, as far as they are objects."""
    initialize = spec.get("initialize")
    found = initialize.get("pipelines") if isinstance(initialize, dict) else None
    pairs = found.items() if isinstance(found, dict) else ()
    return {name: pipeline for name, pipeline in pairs if isinstance(pipeline, dict)}


def definitions_of(spec: Mapping[str, Any], group: str) -> dict[str, dict[str, Any]]:
    """The specs of the definitions of a group, by name."""
    initialize = spec.get("initialize")
    found = initialize.get("definitions") if isinstance(initialize, dict) else None
    return {
        item["name"]: item["spec"]
        for item in _objects(found)
        if item.get("group") == group
        and isinstance(item.get("name"), str)
        and isinstance(item.get("spec"), dict)
    }


def classes_of_metrics(spec: Mapping[str, Any]) -> dict[str, str]:
    """The class of each metric, by display name."""
    metrics = definitions_of(spec, "metrics")
    return {
        item["display_name"]: str(metrics[item["metric_name"]].get("class", ""))
        for pipeline in pipelines_of(spec).values()
        for item in _objects(pipeline.get("metrics"))
        if isinstance(item.get("display_name"), str) and item.get("metric_name") in metrics
    }


def compared_columns(spec: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The columns that losses compare: what was computed, and what it should be."""
    found = []
    for group in ("losses", "metrics"):
        for loss in definitions_of(spec, group).values():
            inputs = loss.get("inputs")
            names = list(inputs.values()) if isinstance(inputs, dict) else inputs
            if (
                isinstance(names, list)
                and len(names) == 2
                and all(isinstance(n, str) for n in names)
            ):
                found.append((names[0], names[1]))
    return list(dict.fromkeys(found))


def shown_losses(spec: Mapping[str, Any]) -> list[str]:
    """The display names of all losses."""
    return list(dict.fromkeys(one.name for one in _shown(spec) if one.kind == "loss"))


def _objects(value: Any) -> list[dict[str, Any]]:
    return [item for item in value if isinstance(item, dict)] if isinstance(value, list) else []
