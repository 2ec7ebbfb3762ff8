"""Fills in what a config leaves out and only its data can tell: from datasets to pipelines."""

from __future__ import annotations

import inspect
from collections.abc import Mapping, Sequence
from typing import Any

from torch import nn

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.build_context import FittedArtifacts
from torchassistant.assembly.builder import Builder
from torchassistant.assembly.column_inspection import Column, columns_of, looked_at
from torchassistant.assembly.devices import Devices
from torchassistant.assembly.importing import find
from torchassistant.assembly.object_maker import ObjectMaker
from torchassistant.assembly.parts import Parts
from torchassistant.config import (
    PREDICTION,
    TRAINING,
    VALIDATION,
    Diagnostics,
    InitializeSpec,
    Key,
    Spec,
    as_slice,
    data_sources,
    own_models,
)
from torchassistant.errors import ConfigError, blaming, listing

RATIO = [0.8, 0.2]
BATCH_SIZE = 32

Scores = tuple[tuple[str, dict[str, Any]], tuple[str, dict[str, Any]]]

_PREPROCESSORS = {"image": "ImageNormalizer", "text": "TextTokenizer", "number": "NumberNormalizer"}
_CLASSIFICATION: Scores = (
    ("cross_entropy", {"class": "CrossEntropyLoss"}),
    ("accuracy", {"class": "Accuracy", "transform": "torchassistant.transforms.reverse_onehot"}),
)
_SAME_SHAPE = "torchassistant.transforms.same_shape"
_REGRESSION: Scores = (
    ("mean_squared_error", {"class": "MSELoss", "transform": _SAME_SHAPE}),
    ("mean_absolute_error", {"class": "MeanAbsoluteError", "transform": _SAME_SHAPE}),
)


class Filling:
    """Gives a spec pipelines, and everything that they need.

    Args:
        spec: A spec without pipelines, in which nothing is wrong, and no choice is left.
        diagnostics: Where things stand in the user's files.
        allowlist: Decides what may be imported.
        dry: Whether nothing may be fetched, nor written.
    """

    processor_name = "processor"
    port: Mapping[str, str] = {}
    """The key that names the port of a pipeline, where it has a name of its own."""
    scores_of: Mapping[str, Scores] = {
        "class": _CLASSIFICATION,
        "text": _CLASSIFICATION,
        "number": _REGRESSION,
    }
    """A loss and a metric for each kind of target: their names, and their specs."""

    def __init__(
        self, spec: Spec, diagnostics: Diagnostics, allowlist: Allowlist, dry: bool
    ) -> None:
        self.spec = spec
        self.diagnostics = diagnostics
        self.allowlist = allowlist
        self.dry = dry
        self.added: list[dict[str, Any]] = []

    def run(self) -> Spec:
        """The filled spec.

        Raises:
            ConfigError: The data does not tell what is to be filled in; the message names the
                choices.
            UserCodeError: A dataset of the user raised.
        """
        factories = list(self.spec.group("loader_factories"))
        if factories:
            datasets = [self.spec.group("loader_factories")[name].dataset for name in factories]
        else:
            datasets = self.datasets()
        columns = columns_of(self.examples(datasets[0]))
        inputs, target = self.roles(columns)
        if not factories:
            datasets = self.prepared(datasets, columns, target)
            factories = self.loaders(datasets, columns)
        if not self.spec.group("batch_processors") and not self.spec.group("batch_graphs"):
            self.processor(inputs)
        loss, metrics = self.scores(target)
        return self.filled(factories, loss, metrics, columns)

    def define(self, group: str, name: str, **spec: Any) -> str:
        self.added.append({"group": group, "name": name, "spec": spec})
        return name

    def undecided(self, message: str) -> ConfigError:
        text = f"the config cannot be completed: {message}"
        return ConfigError(self.diagnostics.problem(text, ("initialize",)))

    # Data

    def datasets(self) -> list[str]:
        """What to train with, and what to validate with; one dataset is split."""
        found = data_sources(self.spec)
        assert found is not None, "the check of the config asks for it"
        training, validation = found
        if validation is not None:
            return [training, validation]
        if as_slice(training) is not None:
            return [training]
        name = self.split(training)
        return [f"{name}.train", f"{name}.val"]

    def split(self, dataset: str) -> str:
        """Split the only dataset."""
        return self.define("splits", "split", dataset_name=dataset, ratio=RATIO)

    def examples(self, dataset: str) -> list[Any]:
        """Some examples of a dataset, or of the dataset that a slice will be of."""
        with blaming(f'the dataset "{dataset}"'):
            found = self.built(dataset)
            if not len(found):
                raise self.undecided(f'the dataset "{dataset}" is empty')
            return looked_at(found)

    def built(self, dataset: str) -> Any:
        """A dataset, or the dataset that a slice will be of."""
        piece = as_slice(dataset)
        if piece is not None and piece.split not in self.spec.group("splits"):
            dataset = self.added[0]["spec"]["dataset_name"]
            piece = None
        key = Key("datasets", dataset) if piece is None else Key("splits", piece.split)
        devices = Devices(self.spec, self.diagnostics.place_of, "cpu")
        parts = Parts(self.spec.seed or 0, devices.base)
        maker = ObjectMaker(parts, self.diagnostics.place_of, self.allowlist, self.dry)
        builder = Builder(self.spec, parts, devices, FittedArtifacts(), maker)
        builder.build([key])
        return parts.dataset(dataset)

    def roles(self, columns: Sequence[Column]) -> tuple[list[Column], Column]:
        """The columns that the model gets, and the one that it is to tell: the last."""
        names = [column.name for column in columns]
        if len(columns) < 2:
            raise self.undecided(
                f"the examples have one column ({listing(names)}), and nothing to learn from it; "
                'give "losses" and "pipelines"'
            )
        *inputs, target = columns
        least, most = self.model_takes()
        if not least <= len(inputs) <= most:
            takes = f"{least}" if least == most else f"{least} to {most}"
            raise self.undecided(
                f"the model takes {takes} inputs, and the examples have the columns "
                f'{listing(names)}, of which the last is the target; give "batch_processors"'
            )
        return inputs, target

    def model_takes(self) -> tuple[int, int]:
        """How many arguments the model can be called with."""
        if self.spec.group("batch_processors") or self.spec.group("batch_graphs"):
            return 1, 1000
        models = self.spec.group("models")
        (model,) = (models[name] for name in own_models(models))
        made = find(model.path, (), self.allowlist)
        if not inspect.isclass(made) or not issubclass(made, nn.Module):
            return 1, 1
        parameters = list(inspect.signature(made.forward).parameters.values())[1:]
        if any(p.kind is inspect.Parameter.VAR_POSITIONAL for p in parameters):
            return 1, 1 if made in (nn.Sequential,) else 1000
        places = [p for p in parameters if p.kind is inspect.Parameter.POSITIONAL_OR_KEYWORD]
        needed = [p for p in places if p.default is inspect.Parameter.empty]
        return len(needed), len(places)

    def prepared(self, datasets: list[str], columns: Sequence[Column], target: Column) -> list[str]:
        """The datasets with preprocessors, fitted to what there is to train with."""
        if self.spec.group("preprocessors") or are_dicts(columns):
            return datasets
        names: list[str | None] = []
        for index, column in enumerate(columns):
            kind = self.preprocessor_for(column, column is target)
            if kind is None:
                names.append(None)
                continue
            name = f"{column.name}_{_words(kind)}"
            self.define(
                "preprocessors", name, **{"class": kind}, kwargs={"column": index}, fit=datasets[0]
            )
            names.append(name)
        if not any(names):
            return datasets
        return [
            self.define("datasets", f"{name}_data", link=dataset, preprocessors=names)
            for name, dataset in zip((TRAINING, VALIDATION), datasets, strict=False)
        ]

    def preprocessor_for(self, column: Column, is_target: bool) -> str | None:
        """The class of the preprocessor of a column; None where it needs none."""
        if not is_target:
            if column.kind == "class":
                return "NumberNormalizer"
            return _PREPROCESSORS.get(column.kind)
        if column.kind == "text":
            distinct = len(set(column.values))
            if distinct > max(2, len(column.values) // 2):
                raise self.undecided(
                    f'the target "{column.name}" is text that hardly repeats; give "preprocessors" '
                    "(Categories, if they are classes), or a loss of your own"
                )
            return "Categories"
        if column.kind != "class":
            return None
        return (
            "Categories" if any(isinstance(v, bool) or int(v) < 0 for v in column.values) else None
        )

    def loaders(self, datasets: list[str], columns: Sequence[Column]) -> list[str]:
        """A loader factory for each dataset."""
        collator = next(iter(self.spec.group("collators")), None)
        padded = [i for i, column in enumerate(columns) if column.kind in ("text", "sequence")]
        padded = [i for i in padded if i < len(columns) - 1]
        if collator is None and padded and not are_dicts(columns):
            collator = self.define(
                "collators", "padding", **{"class": "PadSequences"}, kwargs={"columns": padded}
            )
        return [
            self.define(
                "loader_factories",
                f"{name}_batches",
                dataset=dataset,
                **({"collator": collator} if collator else {}),
                kwargs={"batch_size": BATCH_SIZE},
            )
            for name, dataset in zip((TRAINING, VALIDATION), datasets, strict=False)
        ]

    # Models and scores

    def processor(self, inputs: Sequence[Column]) -> None:
        """A processor of one node, the model."""
        (model,) = own_models(self.spec.group("models"))
        (optimizer,) = self.spec.group("optimizers")
        node = {
            "model_name": model,
            "inputs": [column.name for column in inputs],
            "outputs": [PREDICTION],
            "optimizer_name": optimizer,
        }
        self.define("batch_processors", self.processor_name, neural_graph=[node])

    def scores(self, target: Column) -> tuple[str, list[str]]:
        """The names of the loss and of the metrics."""
        losses, metrics = list(self.spec.group("losses")), list(self.spec.group("metrics"))
        if losses and metrics:
            return losses[0], metrics
        if target.kind not in self.scores_of:
            if losses:
                return losses[0], metrics
            raise self.undecided(
                f'the target "{target.name}" is of the kind "{target.kind}", for which no loss is '
                'known; give "losses"'
            )
        columns = [PREDICTION, target.name]
        (loss, loss_spec), (metric, metric_spec) = self.scores_of[target.kind]
        if not losses:
            losses = [self.define("losses", loss, **loss_spec, inputs=columns)]
        if not metrics:
            metrics = [self.define("metrics", metric, **metric_spec, inputs=columns)]
        return losses[0], metrics

    def filled(
        self, factories: list[str], loss: str, metrics: list[str], columns: Sequence[Column]
    ) -> Spec:
        """The spec with all that was defined, and a pipeline for each loader factory."""
        pipelines = {}
        names = (TRAINING, VALIDATION)
        for name, factory, prefix in zip(names, factories, ("", "val "), strict=False):
            shown = [(metric, self.shown(metric)) for metric in metrics]
            pipelines[name] = {
                "input_factories": [{"loader_factory": factory, **self.port, **_named(columns)}],
                "losses": [{"loss_name": loss, "loss_display_name": f"{prefix}loss"}],
                "metrics": [
                    {"metric_name": metric, "display_name": f"{prefix}{text}"}
                    for metric, text in shown
                ],
            }
        written = self.spec.initialize
        definitions = [d.model_dump(by_alias=True, exclude_none=True) for d in written.definitions]
        initialize = InitializeSpec.model_validate(
            {
                "definitions": self.whole(definitions),
                "pipelines": pipelines,
                "debug_pipelines": {
                    name: debug.model_dump(by_alias=True, exclude_none=True)
                    for name, debug in written.debug_pipelines.items()
                },
            }
        )
        return self.spec.model_copy(update={"initialize": initialize})

    def shown(self, metric: str) -> str:
        """The display name of a metric."""
        return metric.replace("_", " ")

    def whole(self, written: Sequence[Any]) -> list[Any]:
        """All definitions in their order: those that are written, and those that were added."""
        return [*written, *self.added]


def are_dicts(columns: Sequence[Column]) -> bool:
    """Whether the examples are dicts, whose columns are not counted."""
    return not columns[0].name.startswith("input_")


def _named(columns: Sequence[Column]) -> dict[str, Any]:
    return {"variable_names": [column.name for column in columns]}


def _words(name: str) -> str:
    """A class's name in words: ``ImageNormalizer`` is ``image_normalizer``."""
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).strip("_")
