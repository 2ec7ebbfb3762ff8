"""A session needs the files that its models were made from only once."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pretrained_parts
import pytest
import torch
import torchvision
from safetensors.torch import load_file
from torch import nn
from torchvision.models import WeightsEnum, get_model_builder, get_model_weights, list_models
from toy_config import Command, Config, files_of, toy_config, write
from weight_files import downloaded

from torchassistant import create_session, load_session
from torchassistant.assembly.pretrained import LeftOut, called_without_weights
from torchassistant.errors import ConfigError
from torchassistant.session import evaluate_config

BACKBONE = {"class": "torchvision.models.squeezenet1_1", "kwargs": {"weights": "DEFAULT"}}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where the weights of a small model lie, as if they were downloaded; nothing else can be."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    torch.manual_seed(9)
    file = downloaded(torchvision.models.squeezenet1_1().state_dict(), tmp_path)
    known = torchvision.models.SqueezeNet1_1_Weights.DEFAULT.value
    monkeypatch.setattr(known, "url", f"https://nowhere.example/{file.name}")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("TORCHASSISTANT_TRUST", "pretrained_parts timm")
    return tmp_path


def file_in(home: Path) -> Path:
    """The file of the weights."""
    (file,) = (home / "hub" / "checkpoints").iterdir()
    return file


def config(net: dict[str, Any], **definitions: Any) -> Config:
    found = toy_config(
        points={"class": "pretrained_parts.Images"},
        net=net,
        mse={"class": "CrossEntropyLoss", "inputs": ["y_hat", "y"]},
        **definitions,
    )
    found["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 1
    return found


def made(part: str) -> dict[str, Any]:
    return {"class": f"pretrained_parts.{part}", "args": [BACKBONE]}


def weights(model: nn.Module) -> dict[str, torch.Tensor]:
    return {key: value.clone() for key, value in model.state_dict().items()}


def alike(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[key], other[key]) for key in one)


NETS = {"itself": BACKBONE, "inside": made("Whole"), "a piece of it": made("Piece")}


@pytest.mark.parametrize("case", NETS)
def test_a_session_does_without_weights_that_it_holds(home: Path, case: str) -> None:
    net = NETS[case]
    session = create_session(config(net), home / "run", preflight=False)
    session.train()
    stored = weights(session.models["net"])
    file_in(home).unlink()
    again = load_session(home / "run")
    assert again.finished
    assert not again.restoring
    assert alike(weights(again.models["net"]), stored)
    before = files_of(home / "run")
    assert evaluate_config(str(home / "run")) == session.evaluate()
    assert files_of(home / "run") == before


def test_weights_that_it_does_not_hold_are_read(home: Path) -> None:
    session = create_session(config(made("Teacher")), home / "run", preflight=False)
    teacher = weights(session.models["net"].hidden[0])
    torch.manual_seed(9)
    assert alike(teacher, torchvision.models.squeezenet1_1().state_dict())
    again = load_session(home / "run")
    assert alike(weights(again.models["net"].hidden[0]), teacher)
    file_in(home).unlink()
    with pytest.raises(ConfigError) as caught:
        load_session(home / "run")
    assert "https://nowhere.example/weights-" in str(caught.value)
    assert "if session.restoring is true" in str(caught.value)


def test_a_new_model_reads_its_weights(home: Path) -> None:
    created = config({"class": "pretrained_parts.careful", "args": ["w.safetensors"]})
    pretrained_parts.save(home / "w.safetensors")
    net = created["initialize"]["definitions"][4]["spec"]
    net["factory_fn"] = net.pop("class")
    create_session(created, home / "run", preflight=False)
    new = {"group": "models", "name": "new", "spec": BACKBONE}
    over = {"session_dir": "run", "validation_pipelines": ["check"]}
    node = {"model_name": "new", "inputs": ["x"], "outputs": ["y_hat"]}
    processor = {"group": "batch_processors", "name": "processor", "spec": {"neural_graph": [node]}}
    over["initialize"] = {"definitions": [new, processor]}
    result = evaluate_config(write(home / "e.json", over))
    assert result == evaluate_config(write(home / "e.json", over))
    file_in(home).unlink()
    with pytest.raises(ConfigError, match="squeezenet1_1"):
        evaluate_config(write(home / "e.json", over))


def test_a_loss_that_looks_through_a_network(home: Path) -> None:
    loss = {"inputs": ["y_hat", "x"], **made("Perceptual")}
    created = config(made("Whole"), mse_too=("losses", loss))
    created["initialize"]["pipelines"]["fit"]["losses"] = [{"loss_name": "mse_too"}]
    session = create_session(created, home / "run", preflight=False)
    held = weights(session.losses["mse_too"])
    file_in(home).unlink()
    again = load_session(home / "run")
    assert alike(weights(again.losses["mse_too"]), held)


def test_a_factory_sees_that_its_state_is_put_back(home: Path) -> None:
    net = {"factory_fn": "pretrained_parts.careful", "kwargs": {"file": "w.safetensors"}}
    pretrained_parts.save(home / "w.safetensors")
    session = create_session(config(net), home / "run", preflight=False)
    stored = weights(session.models["net"])
    assert alike(stored, load_file(home / "w.safetensors"))
    (home / "w.safetensors").unlink()
    again = load_session(home / "run")
    assert alike(weights(again.models["net"]), stored)
    again.train()
    evaluate_config(str(home / "run"))
    assert (home / "seen").read_text().split() == ["False", "True", "True"]


@pytest.mark.parametrize("key", ["factory_fn careless", "class Reader"])
def test_a_file_that_is_gone_is_named(home: Path, command: Command, key: str) -> None:
    kind, name = key.split()
    net = {kind: f"pretrained_parts.{name}", "kwargs": {"file": "w.safetensors"}}
    pretrained_parts.save(home / "w.safetensors")
    create_session(config(net), home / "run", preflight=False)
    (home / "w.safetensors").rename(home / "elsewhere")
    done = command("train.py", "run")
    assert done.returncode == 2
    (line,) = done.stderr.splitlines()
    assert f'building the model "net": {name}: No such file or directory' in line
    assert "w.safetensors" in line
    assert line.endswith("if session.restoring is true")
    (home / "elsewhere").rename(home / "w.safetensors")
    load_session(home / "run").train()


# What builders make of weights, beside numbers


class Read(dict[str, Any]):
    """Weights as they come from a file, whatever model they are for."""


def structure(model: nn.Module) -> list[Any]:
    """Everything about a model but its numbers."""
    plain = (int, float, str, bool, tuple, type(None))
    return [
        repr(model),
        {key: (value.shape, value.dtype) for key, value in model.state_dict().items()},
        {key: value.requires_grad for key, value in model.named_parameters()},
        {
            name: {key: value for key, value in vars(module).items() if isinstance(value, plain)}
            for name, module in model.named_modules()
        },
    ]


@pytest.fixture
def reading(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Weights fit every model, and nothing is downloaded."""
    load = nn.Module.load_state_dict

    def filled(module: nn.Module, state: Any, *args: Any, **kwargs: Any) -> Any:
        if isinstance(state, Read):
            state = {key: torch.zeros_like(value) for key, value in module.state_dict().items()}
        return load(module, state, *args, **kwargs)

    monkeypatch.setattr(WeightsEnum, "get_state_dict", lambda *args, **kwargs: Read())
    monkeypatch.setattr(nn.Module, "load_state_dict", filled)
    yield


# MNASNet asks for a version that no plain state has; quantized models are not trained.
SKIPPED = ("mnasnet", "quantized")
ALL = [
    (name, one.name)
    for name in list_models()
    if not name.startswith(SKIPPED) and "128gf" not in name
    for one in get_model_weights(name)
]
TELLING = (
    "densenet121",
    "fasterrcnn_mobilenet_v3_large_320_fpn",
    "fasterrcnn_resnet50_fpn",
    "googlenet",
    "inception_v3",
    "lraspp_mobilenet_v3_large",
    "resnet18",
    "squeezenet1_0",
    "ssd300_vgg16",
    "vit_b_16",
)


def check_builder(name: str, **kwargs: Any) -> None:
    builder = get_model_builder(name)
    # Some look at numbers as they build; the others need no memory.
    with torch.device("cpu" if name.startswith("regnet") else "meta"):
        as_created = structure(builder(**kwargs))
        left_out = LeftOut()
        model = called_without_weights(builder, [], kwargs, left_out)
    assert structure(model) == as_created
    assert left_out.tensors
    assert not left_out.is_missed_in(model)


@pytest.mark.parametrize("name", TELLING)
@pytest.mark.usefixtures("reading")
def test_builders_make_the_same_model_without_weights(name: str) -> None:
    for one in get_model_weights(name):
        check_builder(name, weights=one.name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "one"), ALL)
@pytest.mark.usefixtures("reading")
def test_all_builders_make_the_same_model_without_weights(name: str, one: str) -> None:
    check_builder(name, weights=one)


@pytest.mark.parametrize(
    ("name", "kwargs"),
    [
        ("fasterrcnn_resnet50_fpn", {}),
        ("fasterrcnn_resnet50_fpn", {"trainable_backbone_layers": 1, "num_classes": 3}),
        ("deeplabv3_mobilenet_v3_large", {"num_classes": 3, "aux_loss": True}),
        ("ssdlite320_mobilenet_v3_large", {}),
        ("googlenet", {"weights": "DEFAULT", "aux_logits": True}),
    ],
)
@pytest.mark.filterwarnings("ignore:auxiliary heads in the pretrained googlenet:UserWarning")
@pytest.mark.usefixtures("reading")
def test_backbones_that_are_read_by_default(name: str, kwargs: dict[str, Any]) -> None:
    check_builder(name, **kwargs)


@pytest.mark.filterwarnings("ignore:The parameter 'pretrained':UserWarning")
@pytest.mark.filterwarnings("ignore:Arguments other than a weight enum:UserWarning")
@pytest.mark.usefixtures("reading")
def test_the_older_spelling() -> None:
    check_builder("resnet18", pretrained=True)
    left_out = LeftOut()
    called_without_weights(get_model_builder("resnet18"), [], {"pretrained": False}, left_out)
    assert not left_out.tensors


# timm


TIMM = {
    "__init__": "from timm.models import create_model",
    "models/__init__": "from timm.models._factory import create_model",
    "models/_helpers": "from safetensors.torch import load_file\n"
    "def load_checkpoint(model, path):\n    model.load_state_dict(load_file(path))",
    "models/_builder": "import torch\nfrom safetensors.torch import load_file\n"
    "def load_pretrained(model, file):\n    model.load_state_dict(load_file(file))\n"
    "def build(eps, pretrained):\n"
    "    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 12))\n"
    "    model.eps = eps\n"
    "    if pretrained: load_pretrained(model, 'w.safetensors')\n    return model",
    "models/_factory": "from timm.models import _builder\n"
    "from timm.models._helpers import load_checkpoint\n"
    "def create_model(model_name, pretrained=False, checkpoint_path='', **kwargs):\n"
    "    model = _builder.build(1e-3 if pretrained else 1e-5, pretrained)\n"
    "    if checkpoint_path: load_checkpoint(model, checkpoint_path)\n    return model",
}
"""Where timm reads weights, as the real one does; its models are not needed for that."""

OLD_TIMM = {
    "__init__": "import torch\nfrom safetensors.torch import load_file\n"
    "def create_model(model_name, pretrained=False, checkpoint_path='', **kwargs):\n"
    "    model = torch.nn.Sequential(torch.nn.Flatten(), torch.nn.Linear(3072, 12))\n"
    "    for file in [checkpoint_path or ('w.safetensors' if pretrained else None)]:\n"
    "        if file: model.load_state_dict(load_file(file))\n    return model",
}


@pytest.mark.parametrize(
    "kwargs",
    [{"pretrained": True}, {"checkpoint_path": "w.safetensors"}, {"args": ["any", True]}],
    ids=str,
)
@pytest.mark.parametrize("version", [TIMM, OLD_TIMM], ids=["timm", "another timm"])
def test_models_of_timm(
    home: Path,
    monkeypatch: pytest.MonkeyPatch,
    version: dict[str, str],
    kwargs: dict[str, Any],
) -> None:
    for name, source in version.items():
        file = home / "lib" / "timm" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{source}\n")
    monkeypatch.syspath_prepend(str(home / "lib"))
    pretrained_parts.save(home / "w.safetensors")
    net: dict[str, Any] = {"class": "timm.create_model", "args": ["any"], "kwargs": dict(kwargs)}
    net["args"] = net["kwargs"].pop("args", ["any"])
    if "pretrained" in kwargs or "args" in kwargs:
        with pytest.raises(
            ConfigError, match='create_model with "pretrained" or with "model_name"'
        ):
            create_session(config(net), home / "run", preflight=False)
        monkeypatch.setenv("TORCHASSISTANT_ALLOW_DOWNLOAD", "1")
    try:
        session = create_session(config(net), home / "run", preflight=False)
        monkeypatch.delenv("TORCHASSISTANT_ALLOW_DOWNLOAD", raising=False)
        stored = weights(session.models["net"])
        assert alike(stored, load_file(home / "w.safetensors"))
        (home / "w.safetensors").unlink()
        again = load_session(home / "run").models["net"]
        assert alike(weights(again), stored)
        if version is TIMM:
            assert again.eps == session.models["net"].eps
    finally:
        for name in [one for one in sys.modules if one.partition(".")[0] == "timm"]:
            del sys.modules[name]
