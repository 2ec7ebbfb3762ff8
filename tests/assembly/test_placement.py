"""Each class of the libraries and of the catalogue stands only where it makes sense."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hostile_config import MINE, PLACES, SCORE, Hostile, base, config_text, definition, run

from torchassistant.assembly.allowlist import Allowlist
from torchassistant.assembly.importing import find
from torchassistant.assembly.object_kinds import kind_of, may_hold
from torchassistant.config.role import OUTPUT_DEVICE
from torchassistant.errors import ConfigError
from torchassistant.session import Draft, create_session
from torchassistant.session.requests.inference_run import infer_config

DEVICES = "torchassistant.output_devices."
JSON_LINES = {"class": f"{DEVICES}JsonLines", "args": ["marker.jsonl"]}


def with_definitions(*more: dict[str, Any]) -> dict[str, Any]:
    """A config in which nothing is wrong, with some definitions more."""
    config = json.loads(config_text([])[0])
    config["initialize"]["definitions"] = [*base(), *more]
    return config


def told(config: dict[str, Any] | str, folder: Path) -> list[str]:
    """The problems of a config."""
    text = config if isinstance(config, str) else json.dumps(config)
    (folder / "c.json").write_text(text)
    try:
        Draft(folder / "c.json")
    except ConfigError as error:
        return [problem.message for problem in error.problems]
    return []


# What writes stands where an output device is asked for, and nowhere else


@pytest.mark.parametrize("name", ["JsonLines", "SaveImages", "Printer"])
def test_an_output_device_stands_in_its_place_only(folder: Path, name: str) -> None:
    args = [] if name == "Printer" else ["marker.jsonl"]
    text, lines = config_text([Hostile(f"{DEVICES}{name}", args)], everywhere=True)
    (folder / "c.json").write_text(text)
    with pytest.raises(ConfigError) as caught:
        Draft(folder / "c.json")
    found = {problem.place.line for problem in caught.value.problems}
    texts = text.splitlines()
    own = {line for line in lines if '"output_device":' in texts[line - 1]}
    assert found == set(lines) - own
    assert len(lines) == len(PLACES)
    assert len(own) == 1


FUNCTION = {"function": f"{DEVICES}JsonLines"}
HIDDEN = [
    {"class": "torch.nn.Sequential", "args": [JSON_LINES]},
    {"class": "torch.nn.TripletMarginWithDistanceLoss", "kwargs": {"distance_function": FUNCTION}},
    {"class": "torchvision.transforms.Lambda", "args": [FUNCTION]},
    {"class": "torchvision.transforms.Lambda", "args": [JSON_LINES]},
    {"class": "torchvision.transforms.Compose", "args": [[JSON_LINES]]},
    {"class": "torchvision.datasets.DatasetFolder", "args": ["x"], "kwargs": {"loader": FUNCTION}},
    {"class": "torchvision.datasets.ImageFolder", "args": ["x"], "kwargs": {"loader": JSON_LINES}},
    {"class": "mine.Net", "args": [{"deep": [JSON_LINES]}]},
    {"class": "mine.Net", "args": [FUNCTION]},
    {"class": "mine.Net", "args": [{"factory_fn": f"{DEVICES}JsonLines"}]},
    {"class": "mine.Net", "args": [{"class": "mine.partial", "args": []}]},
    {"class": "mine.Net", "args": [{"function": "mine.partial"}]},
    {"class": "torchassistant.collators.ColumnWise", "args": [[JSON_LINES]]},
    {"class": "torchassistant.stop_conditions.AnyOf", "args": [[JSON_LINES]]},
    {"class": "torchmetrics.wrappers.LambdaInputTransformer", "args": [JSON_LINES]},
    {"class": "torch.distributions.ComposeTransform", "args": [[JSON_LINES]]},
    {"class": "torch.utils.data.TensorDataset", "args": [JSON_LINES]},
    {"class": "torch.nn.utils.skip_init", "args": [FUNCTION]},
]


@pytest.fixture
def mine(folder: Path) -> Path:
    (folder / "mine.py").write_text(
        f"{MINE}\nimport functools\nfrom torchassistant.output_devices import JsonLines\n"
        'partial = functools.partial(JsonLines, "marker.jsonl")\n'
        "class Tee:\n    def __init__(self, *devices): self.devices = devices\n"
        "    def __call__(self, data): ...\n"
        "class Quiet(JsonLines): ...\n"
    )
    return folder


@pytest.mark.parametrize("spec", HIDDEN, ids=lambda spec: json.dumps(spec)[:90])
def test_an_output_device_in_an_argument_is_told_at_its_place(
    mine: Path, spec: dict[str, Any]
) -> None:
    found = told(with_definitions(definition("losses", "hidden", {**spec, **SCORE})), mine)
    device = [one for one in found if "is an output device, and is not allowed in the" in one]
    assert len(device) == 1, found
    assert not (mine / "marker.jsonl").exists()


def test_what_rebinds_a_profile_is_refused_and_writes_nothing(mine: Path) -> None:
    """The attack from which this rule comes."""
    bind = {"class": "torch.nn.utils.rnn.bind", "args": ["$(touch marker)", JSON_LINES]}
    (mine / "c.json").write_text(json.dumps(with_definitions(definition("losses", "b", bind))))
    before = sorted(mine.iterdir())
    done = run(mine, "check", "--preflight", "c.json")
    assert done.status == 2
    assert '"torch.nn.utils.rnn.bind" may not be used' in done.stderr
    assert sorted(mine.iterdir()) == before


@pytest.mark.parametrize(
    "device",
    [
        JSON_LINES,
        {"class": "JsonLines", "args": ["x.jsonl"]},
        {"class": "mine.Tee", "args": [JSON_LINES, {"class": f"{DEVICES}Printer"}]},
        {"class": "mine.Quiet", "args": ["x.jsonl"]},
        {"class": "mine.partial"},
    ],
    ids=lambda device: json.dumps(device)[:60],
)
def test_devices_where_they_are_asked_for(mine: Path, device: dict[str, Any]) -> None:
    config = with_definitions()
    stage = config["train"]["stages"][0]
    feeds = [{"loader_factory": "loader", "variable_names": ["x", "y"]}]
    stage["debug_pipelines"] = [{"input_factories": feeds, "output_device": device}]
    assert told(config, mine) == []


def test_in_an_inference_config(mine: Path) -> None:
    create_session(with_definitions(), session_dir="run", preflight=False)
    asked = {
        "session_dir": "run",
        "inputs_meta": [{"input_converter": JSON_LINES}],
        "post_processor": JSON_LINES,
        "output_device": {"class": "mine.Tee", "args": [JSON_LINES]},
    }
    (mine / "inference.json").write_text(json.dumps(asked))
    with pytest.raises(ConfigError) as caught:
        infer_config("inference.json", ["1"])
    told = [p.message for p in caught.value.problems if "is an output device, not" in p.message]
    assert len(told) == 2
    assert not (mine / "marker.jsonl").exists()


def test_an_output_device_of_the_users_own_is_free(mine: Path) -> None:
    spec = {"class": "mine.Net", "args": [{"class": "mine.Quiet", "args": ["x.jsonl"]}]}
    assert told(with_definitions(definition("losses", "own", {**spec, **SCORE})), mine) == []


# Kinds in the place of others


@pytest.mark.parametrize(
    ("group", "spec", "message"),
    [
        (
            "losses",
            {"class": "torchassistant.stop_conditions.EpochsCompleted", "args": [1]},
            "loss",
        ),
        ("losses", {"class": "torchassistant.collators.Stack"}, "loss"),
        ("collators", {"class": "torchmetrics.MeanMetric"}, "collator"),
        ("models", {"class": "torchmetrics.MeanMetric"}, "torch.nn.Module"),
        ("forward_hooks", {"factory_fn": "torchmetrics.MeanMetric", "model": "net"}, "hook"),
        ("forward_hooks", {"factory_fn": "torch.nn.ReLU", "model": "net"}, "hook"),
        ("backward_hooks", {"factory_fn": f"{DEVICES}JsonLines", "model": "net"}, "hook"),
        ("datasets", {"class": "torch.utils.data.SequentialSampler", "args": [[1]]}, "dataset"),
        ("datasets", {"class": "torch.nn.ModuleList"}, "dataset"),
        ("batch_processors", {"class": "torchassistant.collators.Stack"}, "batch processor"),
        ("metrics", {"class": "torchassistant.input_converters.Text"}, "metric"),
    ],
)
def test_a_class_plays_only_its_roles(
    folder: Path, group: str, spec: dict[str, Any], message: str
) -> None:
    spec = {**spec, **(SCORE if group in ("losses", "metrics") else {})}
    found = told(with_definitions(definition(group, "other", spec)), folder)
    assert any(f"not a {message}" in one for one in found), found


DATA = {"class": "torchvision.datasets.FakeData"}
OPTIMIZER = {"class": "torch.optim.SGD", "args": [[]]}
SAMPLER = {"class": "torch.utils.data.SequentialSampler", "args": [[1, 2]]}


@pytest.mark.parametrize(
    ("group", "spec", "what"),
    [
        ("losses", {"class": "torch.nn.Sequential", "args": [OPTIMIZER]}, "an optimizer"),
        ("losses", {"class": "torch.nn.Sequential", "args": [DATA]}, "a dataset"),
        (
            "losses",
            {"class": "torch.nn.Sequential", "args": [{"class": "torch.utils.data.DataLoader"}]},
            "a data loader",
        ),
        ("losses", {"class": "torch.nn.Sequential", "args": [SAMPLER]}, "a sampler"),
        (
            "datasets",
            {"class": "torch.utils.data.ConcatDataset", "args": [[{"class": "torch.nn.Module"}]]},
            None,
        ),
        ("datasets", {"class": "torch.utils.data.ConcatDataset", "args": [[OPTIMIZER]]}, "an opt"),
        ("models", {"class": "mine.Net", "args": [OPTIMIZER, DATA, SAMPLER]}, None),
        ("datasets", {"class": "torch.utils.data.ConcatDataset", "args": [[DATA, DATA]]}, None),
        ("datasets", {"class": "torch.utils.data.Subset", "args": [DATA, [1]]}, None),
        (
            "datasets",
            {
                "class": "torchvision.datasets.FakeData",
                "kwargs": {
                    "transform": {
                        "class": "torchvision.transforms.Compose",
                        "args": [[{"class": "torchvision.transforms.ToTensor"}]],
                    },
                    "target_transform": {"function": "torch.tensor"},
                },
            },
            None,
        ),
        (
            "datasets",
            {"class": "torchvision.datasets.wrap_dataset_for_transforms_v2", "args": [DATA]},
            None,
        ),
        (
            "datasets",
            {
                "class": "torchvision.datasets.ImageFolder",
                "args": ["x"],
                "kwargs": {"loader": {"class": "torchassistant.input_converters.ImageFile"}},
            },
            None,
        ),
        (
            "loader_factories",
            {
                "dataset": "data",
                "kwargs": {
                    "batch_sampler": {
                        "class": "torch.utils.data.BatchSampler",
                        "args": [SAMPLER, 2, False],
                    },
                    "worker_init_fn": {"function": "mine.Net"},
                },
            },
            None,
        ),
        ("loader_factories", {"dataset": "data", "kwargs": {"sampler": OPTIMIZER}}, "an optimizer"),
        (
            "metrics",
            {
                "class": "torchmetrics.MetricTracker",
                "args": [
                    {
                        "class": "torchmetrics.MetricCollection",
                        "args": [[{"class": "torchmetrics.MeanMetric"}]],
                    }
                ],
            },
            None,
        ),
        (
            "collators",
            {
                "class": "ColumnWise",
                "args": [
                    [{"class": "torchassistant.collators.Stack"}, {"function": "torch.stack"}, None]
                ],
            },
            None,
        ),
        ("collators", {"class": "ColumnWise", "args": [[DATA]]}, "a dataset"),
        (
            "models",
            {
                "class": "torch.nn.Sequential",
                "args": [{"class": "torch.nn.Linear", "args": [2, 2]}, {"class": "mine.Net"}],
            },
            None,
        ),
        (
            "losses",
            {
                "class": "torch.nn.TripletMarginWithDistanceLoss",
                "kwargs": {"distance_function": {"class": "torch.nn.PairwiseDistance"}},
            },
            None,
        ),
        ("losses", {"class": "torchassistant.losses.MaskedCrossEntropy"}, None),
        ("losses", {"class": "torchmetrics.image.StructuralSimilarityIndexMeasure"}, None),
        ("metrics", {"class": "torch.nn.MSELoss"}, None),
        ("batch_processors", {"class": "torchassistant.output_adapters.IdentityAdapter"}, None),
        (
            "collators",
            {
                "class": "torchvision.transforms.Compose",
                "args": [
                    [
                        {"class": "torchassistant.collators.BatchDivide"},
                        {"class": "torchassistant.input_converters.ImageFile"},
                        {"function": "torch.stack"},
                    ]
                ],
            },
            None,
        ),
        # Of the user's own, what is handed on may download what is pinned, if it asks for it.
        ("models", {"class": "mine.Net", "args": [{"function": "torchvision.models.vgg11"}]}, None),
    ],
    ids=lambda value: json.dumps(value)[:70] if isinstance(value, dict) else None,
)
def test_what_may_stand_in_arguments(
    mine: Path, group: str, spec: dict[str, Any], what: str | None
) -> None:
    spec = {**spec, **(SCORE if group in ("losses", "metrics") else {})}
    found = told(with_definitions(definition(group, "other", spec)), mine)
    if what is None:
        assert found == []
    else:
        assert any(f"is {what}" in one and "is not allowed" in one for one in found), found


# Handed on, to be called where nobody sees its arguments


@pytest.mark.parametrize("allowed", [False, True])
@pytest.mark.parametrize(
    ("group", "spec"),
    [
        ("models", {"class": "mine.Net", "args": [{"function": "torchmetrics.image.fid.FID"}]}),
        ("metrics", {"class": "torchmetrics.functional.image.arniqa"}),
        ("losses", {"class": "torchmetrics.functional.text.rouge_score"}),
        (
            "losses",
            {
                "class": "torchmetrics.wrappers.LambdaInputTransformer",
                "args": [{"function": "torchmetrics.functional.text.sacre_bleu_score"}],
            },
        ),
        (
            "losses",
            {
                "class": "torch.nn.TripletMarginWithDistanceLoss",
                "kwargs": {"distance_function": {"function": "torchvision.models.resnet18"}},
            },
        ),
    ],
)
def test_what_downloads_is_not_handed_on(
    mine: Path, group: str, spec: dict[str, Any], allowed: bool
) -> None:
    text = json.dumps({**spec, **(SCORE if group != "models" else {})})
    spec = json.loads(text.replace("fid.FID", "fid.FrechetInceptionDistance"))
    config = with_definitions(definition(group, "other", spec))
    (mine / "c.json").write_text(json.dumps(config))
    if allowed:
        Draft(mine / "c.json", allow_download=True)
        return
    with pytest.raises(ConfigError, match="--allow-download on the command line allows it"):
        Draft(mine / "c.json")


def test_kinds_of_what_the_libraries_make() -> None:
    for path, kind in (
        ("torch.optim.Adam", "optimizer"),
        ("torch.optim.lr_scheduler.StepLR", "learning rate scheduler"),
        ("torch.utils.data.DataLoader", "data loader"),
        ("torchmetrics.MetricCollection", "metric"),
        ("torchvision.transforms.v2.Compose", "torch.nn.Module"),
        ("torchvision.transforms.Compose", None),
        ("torchvision.datasets.MNIST", "dataset"),
        ("torch.zeros", None),
        ("torchassistant.tabular.Categories", "preprocessor"),
    ):
        assert kind_of(find(path, (), Allowlist())) == kind, path
    assert may_hold(print, OUTPUT_DEVICE, "output_device")
    assert not may_hold(print, OUTPUT_DEVICE, "losses")
