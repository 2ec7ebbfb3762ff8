"""What is trained, parts of it, and averages over its training."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import Discriminator, Field, Tag

from torchassistant.config.blocks import Block, Count, Name, ObjectSpec, Position
from torchassistant.config.change_rule import Rule
from torchassistant.config.groups.group import Group
from torchassistant.config.model_weights import WEIGHTS_OF_MODEL, ModelWeights, ModelWeightsSpec
from torchassistant.config.references import Reference
from torchassistant.config.role import METRIC, MODULE, MODULE_BASES, Role
from torchassistant.config.tree import Path

DECAY = 0.999

AVERAGING = (
    *("kind", "decay", "interval", "every", "start", "first", "warmup", "use_buffers"),
    "update_bn",
)
"""Keys that say how a model is averaged."""

EMA_ONLY = ("decay", "first", "warmup")


class LowRankSpec(Block):
    """Layers that are two of a lower rank each."""

    kind: Literal["low_rank"] = Field(description="Which step this is.")
    ranks: dict[str, Count] = Field(description="The rank of each layer, by its path.")


class PrunedModuleSpec(Block):
    """The sizes of a module that has fewer channels."""

    attributes: dict[str, int | list[int]] = Field(
        {}, description="Attributes that are sizes, as `out_features`."
    )
    shapes: dict[str, list[Position]] = Field(
        {}, description="The shapes of parameters and buffers."
    )


class PrunedSpec(Block):
    """Layers that have lost channels."""

    kind: Literal["pruned"] = Field(description="Which step this is.")
    modules: dict[str, PrunedModuleSpec] = Field(
        description="What has another size than the class made it, by path."
    )


class Int8Spec(Block):
    """Parameters that are stored as int8, and computed from it when they are used."""

    kind: Literal["int8"] = Field(description="Which step this is.")
    axes: dict[str, Position] = Field(
        description="For each parameter, by path, the axis along which each slice has a scale."
    )


class GraphInputSpec(Block):
    """An input of a forward pass that is traced."""

    shape: list[Position] | None = Field(
        None, description="The shape of a tensor; left out: it is none."
    )
    dtype: str = Field("float32", description="Of a tensor.")
    value: bool | int | float | str | None = Field(None, description="What else it is.")


class RoundedValueSpec(Block):
    """A value of a forward pass that is rounded to a byte."""

    node: str = Field(description="The node of the graph that gives it.")
    readers: list[str] = Field(description="The nodes that read what it is rounded to.")
    scale: Annotated[float, Field(gt=0)] | None = Field(
        None, description="The step between two bytes; left out: it follows from the values."
    )
    zero_point: Annotated[int, Field(ge=0, le=255)] = Field(
        0, description="With a scale: the byte of zero."
    )


class Int8GraphSpec(Block):
    """A forward pass that rounds values between layers to bytes."""

    kind: Literal["int8_graph"] = Field(description="Which step this is.")
    path_: str = Field("", alias="path", description="The part that has it; empty: the whole.")
    args: list[GraphInputSpec] = Field([], description="What it is traced with.")
    kwargs: dict[str, GraphInputSpec] = Field({}, description="Likewise, by name.")
    values: list[RoundedValueSpec] = Field(description="What is rounded.")


CompressionStep = Annotated[
    LowRankSpec | PrunedSpec | Int8GraphSpec | Int8Spec, Discriminator("kind")
]


class ModelSpec(ObjectSpec):
    """A ``torch.nn.Module``: an object, a part of another model, or an average of another model."""

    memory_format: Literal["channels_last", "channels_last_3d"] | None = Field(
        None,
        description="Memory format of its weights and input images; left out: torch's default.",
    )
    weights: Annotated[ModelWeights | None, WEIGHTS_OF_MODEL] = Field(
        None,
        description="What it begins with, in place of what its class makes; a list: later ones "
        "win. See [weights](weights.md).",
    )
    part_of: Name | None = Field(
        None, description="The model that it is a part of, with the same parameters."
    )
    path_: Name | None = Field(
        None, alias="path", description="With `part_of`: which part, as `layer1.0`."
    )
    average_of: Name | None = Field(
        None, description="The model whose parameters it averages while that is trained."
    )
    kind: Literal["ema", "swa"] | None = Field(
        None,
        description="`ema`: exponential moving average; `swa`: mean of all updates. Left out: "
        "`ema`.",
    )
    decay: Annotated[float, Field(ge=0, le=1)] | None = Field(
        None, description=f"Weight of the average so far, for `ema`; left out: {DECAY}."
    )
    interval: Literal["step", "epoch"] | None = Field(
        None,
        description="What is counted: steps of the optimizers that train the model, or epochs "
        "that train it. Left out: `step`.",
    )
    every: Count | None = Field(None, description="Update after every N of them; left out: 1.")
    start: Position | None = Field(None, description="How many pass before that; left out: 0.")
    first: Literal["copy", "blend"] | None = Field(
        None,
        description="Whether the first update copies the model, or averages it with the initial "
        "weights. Left out: `copy`.",
    )
    warmup: bool | None = Field(
        None,
        description="Whether the decay is at most (1 + n) / (10 + n) after n updates; left out: "
        "no.",
    )
    use_buffers: bool | None = Field(
        None, description="Whether buffers are averaged too; left out: each update copies them."
    )

    update_bn: (
        Annotated[
            Annotated[Name, Tag("name")] | Annotated[Literal[False], Tag("switch")],
            Discriminator(lambda value: "name" if isinstance(value, str) else "switch"),
        ]
        | None
    ) = Field(
        None,
        description="For `swa` over batch norm: the pipeline through whose training data the "
        "statistics are recomputed, or `false`. Left out: the first one that trains with its "
        "model.",
    )

    compressed: list[CompressionStep] | None = Field(
        None,
        description="What `compress` has made of the model: steps that are done on it when it is "
        "built, in this order.",
    )

    @property
    def sources(self) -> list[tuple[Path, ModelWeightsSpec]]:
        """Where its weights come from, each with where it stands in here."""
        if isinstance(self.weights, list):
            return [(("weights", index), one) for index, one in enumerate(self.weights)]
        return [] if self.weights is None else [(("weights",), self.weights)]

    @property
    def recomputes_statistics(self) -> bool:
        """Whether the statistics of batch norm layers have to follow the averaged weights."""
        is_mean = self.average_of is not None and self.kind == "swa"
        return is_mean and not self.use_buffers and self.update_bn is not False

    @property
    def other(self) -> str | None:
        """The model that it is a part or an average of."""
        return self.part_of or self.average_of


def owner_of(name: str, models: Mapping[str, Any]) -> str:
    """The model that has the parameters of a model: the whole, where it is a part.

    Args:
        name: The model.
        models: The specs of all models by name; there may be cycles, which are reported.
    """
    seen: set[str] = set()
    while name in models and models[name].part_of and name not in seen:
        seen.add(name)
        name = models[name].part_of
    return name


def origin_of(name: str, models: Mapping[str, Any]) -> str:
    """The model that the config describes as an object, and that this one was made from."""
    seen: set[str] = set()
    while name in models and models[name].other and name not in seen:
        seen.add(name)
        name = models[name].other
    return name


def is_average(name: str, models: Mapping[str, Any]) -> bool:
    """Whether a model is an average, or a part of one: nothing trains it."""
    owner = owner_of(name, models)
    return owner in models and models[owner].average_of is not None


def path_within(name: str, models: Mapping[str, Any]) -> str:
    """Where a model stands in its owner: the path of a part, and empty for what is whole."""
    steps: list[str] = []
    owner = owner_of(name, models)
    while name != owner:
        steps.insert(0, models[name].path_)
        name = models[name].part_of
    return ".".join(steps)


def own_models(models: Mapping[str, Any]) -> list[str]:
    """The models that are neither a part nor an average of another."""
    return [name for name, model in models.items() if not model.other]


def is_part(name: str, whole: str, models: Mapping[str, Any]) -> bool:
    """Whether a model is another one, or a part of it, however deep."""
    seen: set[str] = set()
    while name != whole:
        if name not in models or not models[name].part_of or name in seen:
            return False
        seen.add(name)
        name = models[name].part_of
    return True


def _references(spec: ModelSpec) -> Iterator[Reference]:
    for key in ("part_of", "average_of"):
        name = getattr(spec, key)
        if name:
            yield Reference((key,), "models", name)


MODELS = Group(
    "models",
    "model",
    ModelSpec,
    section="models",
    references=_references,
    role=Role(
        "models",
        "torch.nn.Module",
        bases=MODULE_BASES,
        kind=MODULE,
        holds=(METRIC,),
    ),
    held=lambda spec: () if spec.part_of else ("",),
    id_keys=(("averages", "average_of"),),
    changes=(
        Rule("spec.weights.**", "free", "they were read when the session was created"),
        Rule("spec.memory_format", "applied", "other kernels round differently"),
        *(
            Rule(f"spec.{key}", "applied", "from the next update on")
            for key in ("decay", "every", "start", "warmup")
        ),
        Rule("spec.update_bn", "applied", "when the statistics are recomputed next"),
        *(
            Rule(f"spec.{key}", "refused", "it decides what the average is by now")
            for key in ("kind", "interval", "first", "use_buffers")
        ),
        *(
            Rule(f"spec.{key}", "refused", "it decides what the model is")
            for key in ("part_of", "path", "average_of", "compressed")
        ),
    ),
)
