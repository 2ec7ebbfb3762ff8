"""What may be named of libraries that have to be trusted, and of which a part was reviewed."""

from __future__ import annotations

import importlib
import json
import os
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType
from typing import Any

import pytest
import test_reviewed_callables as of_libraries

from torchassistant.assembly.allowlist import PRESETS, Allowlist
from torchassistant.assembly.downloads import refused_to
from torchassistant.assembly.importing import Refused, find
from torchassistant.assembly.object_kinds import kind_of
from torchassistant.assembly.origin import name_of
from torchassistant.assembly.reviewed_callables import (
    KINDS,
    LISTS,
    Verdict,
    reviewed_in,
    verdict_of,
)
from torchassistant.errors import ConfigError, UserError
from torchassistant.session import create_session


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("NO_ALBUMENTATIONS_UPDATE", "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))
    return tmp_path


@pytest.mark.parametrize("library", PRESETS)
def test_a_list_is_sorted_and_means_something(library: str) -> None:
    lines = (LISTS / f"{library}.txt").read_text(encoding="utf-8").splitlines()
    names = [line.split()[0] for line in lines]
    assert names == sorted(set(names))
    assert all(name.startswith(f"{library}.") for name in names)
    kinds = {verdict.kind for verdict in (reviewed_in(library) or {}).values()}
    assert kinds <= {*KINDS} - {"new", "writes", "pinned"}


# A library that stands for timm


FILES = {
    "__init__": "from timm.models import create_model, is_model, model_entrypoint",
    "models/__init__": "from timm.models._factory import create_model\n"
    "from timm.models.small import is_model, model_entrypoint",
    "models/_factory": "def create_model(model_name, pretrained=False, **kwargs): ...",
    "models/small": "def tiny(pretrained=False, **kwargs): ...\ndef init_weights(file): ...\n"
    "def is_model(name): return name == 'tiny'\ndef model_entrypoint(name): return tiny",
    "utils": "from os import system\ndef anything(): ...",
}


@pytest.fixture
def timm(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    home = folder / "elsewhere" / "site-packages"
    for name, source in FILES.items():
        file = home / "timm" / f"{name}.py"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(f"{source}\n")
    before = {name for name in sys.modules if name.partition(".")[0] == "timm"}
    kept = {name: sys.modules.pop(name) for name in before}
    monkeypatch.syspath_prepend(str(home))
    importlib.invalidate_caches()
    yield
    for name in [name for name in sys.modules if name.partition(".")[0] == "timm"]:
        del sys.modules[name]
    sys.modules.update(kept)


@pytest.mark.usefixtures("timm")
def test_a_library_that_is_trusted_is_trusted_as_far_as_it_was_reviewed() -> None:
    trusting = Allowlist(["timm"])
    for path in ("timm.create_model", "timm.models.create_model", "timm.models.small.tiny"):
        assert callable(find(path, (), trusting))
        with pytest.raises(Refused, match="--trust timm on the command line"):
            find(path, (), Allowlist())
    for path in ("timm.utils.anything", "timm.models.small.init_weights"):
        with pytest.raises(Refused) as caught:
            find(path, (), trusting)
        assert "is not among what has been reviewed of timm" in str(caught.value)
        assert f"--trust {path} on the command line" in str(caught.value)
    with pytest.raises(Refused):
        find("timm.utils.system", (), trusting)


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize("trusted", [["timm.utils"], ["timm", "timm.utils.anything"]])
def test_more_is_trusted_by_its_own_name(trusted: list[str]) -> None:
    assert callable(find("timm.utils.anything", (), Allowlist(trusted)))


@pytest.mark.usefixtures("timm")
@pytest.mark.parametrize(
    ("path", "args", "kwargs", "asks"),
    [
        ("timm.create_model", ["tiny"], {}, False),
        ("timm.create_model", ["tiny"], {"pretrained": True}, True),
        ("timm.create_model", ["hf-hub:a/b"], {}, True),
        ("timm.create_model", [], {"model_name": "hf_hub:a/b"}, True),
        ("timm.create_model", ["local-dir:folder"], {}, False),
        ("timm.models.small.tiny", [], {}, False),
        ("timm.models.small.tiny", [True], {}, True),
    ],
)
def test_downloads_are_told(path: str, args: list[Any], kwargs: Any, asks: bool) -> None:
    target = find(path, (), Allowlist(["timm"]))
    told = refused_to(target, args, kwargs, Allowlist(["timm"]))
    assert (told is not None) is asks
    assert told is None or "--allow-download" in told
    assert refused_to(target, args, kwargs, Allowlist(["timm"], allow_download=True)) is None


def test_an_address_in_any_place_asks() -> None:
    verdict = Verdict("open", "a", ("://",))

    def reads(a: Any, b: int = 0) -> None: ...

    for value in ("http://x/y", ["z", "s3://x"], {"train": ["hf://x"]}, "zip::http://x"):
        assert verdict.is_asked_by(reads, [value], {})
    for value in ("x", "C:/x", ["x"], {"train": "x"}, 3):
        assert not verdict.is_asked_by(reads, [value], {})


def test_a_folder_of_the_users_may_have_the_name_of_a_library(folder: Path) -> None:
    (folder / "datasets").mkdir()
    (folder / "datasets" / "__init__.py").write_text("")
    (folder / "datasets" / "own.py").write_text("class Points:\n    pass\n")
    kept = {n: sys.modules.pop(n) for n in [*sys.modules] if n.partition(".")[0] == "datasets"}
    sys.path.insert(0, str(folder))
    try:
        for trusted in ([], ["datasets"]):
            found = find("datasets.own.Points", (), Allowlist(trusted))
            assert kind_of(found) is None
    finally:
        sys.path.remove(str(folder))
        for name in [n for n in sys.modules if n.partition(".")[0] == "datasets"]:
            del sys.modules[name]
        sys.modules.update(kept)


# The real ones, where they are installed


def reviewed_from(module: str) -> list[Any]:
    """What a module of a library has that was reviewed."""
    holder = importlib.import_module(module)
    found = (getattr(holder, name) for name in dir(holder) if name[0] != "_")
    return [one for one in found if callable(one) and verdict_of(one).kind == "plain"]


def suspicious(found: list[Any], library: str, monkeypatch: pytest.MonkeyPatch) -> set[str]:
    """Functions behind these that open, fetch, run or write, as their names in code tell."""
    monkeypatch.setattr(of_libraries, "LIBRARIES", (library,))
    named: set[str] = set()
    seen: set[FunctionType] = set()
    waiting = [function for one in found for function in of_libraries.functions_of(one)]
    while waiting:
        function = waiting.pop()
        name = f"{function.__module__}.{function.__qualname__}"
        if function not in seen and of_libraries.is_followed(name):
            seen.add(function)
            names, called = of_libraries.looked_into(function)
            named |= {name} if names & of_libraries.DANGEROUS else set()
            waiting += called
    return named


def definition(group: str, **spec: Any) -> dict[str, Any]:
    return {"group": group, "name": group, "spec": spec}


def config(data: dict[str, Any], net: dict[str, Any], **optimizer: Any) -> dict[str, Any]:
    adam = {"class": "Adam", "model": "models", **optimizer}
    stage = {"training_pipelines": ["training"], "stop_condition": {"class": "EpochsCompleted"}}
    stage["stop_condition"]["args"] = [1]
    rows = [("datasets", data), ("models", net), ("optimizers", adam)]
    made = [definition(group, **spec) for group, spec in rows]
    return {"seed": 1, "initialize": {"definitions": made}, "train": {"stages": [stage]}}


IMAGES = {
    "class": "torchvision.datasets.FakeData",
    "kwargs": {
        **{"size": 10, "image_size": [3, 16, 16], "num_classes": 2},
        "transform": {"class": "torchvision.transforms.ToTensor"},
    },
}


def linear(features: int) -> dict[str, Any]:
    layer = {"class": "torch.nn.Linear", "args": [features, 2]}
    return {"class": "torch.nn.Sequential", "args": [{"class": "torch.nn.Flatten"}, layer]}


def trained(made: dict[str, Any], *trust: str) -> list[float]:
    name = f"run{len(os.listdir())}"
    session = create_session(made, name, trust=trust, preflight=False)
    session.train()
    return session.history["loss"].tolist()


@pytest.mark.filterwarnings("ignore")
def test_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    timm = pytest.importorskip("timm")
    net = {"class": "timm.create_model", "args": ["resnet10t"], "kwargs": {"num_classes": 2}}
    lamb = {"class": "timm.optim.Lamb", "kwargs": {"lr": 0.01}}
    assert len(trained(config(IMAGES, net, **lamb), "timm")) == 1
    models = [timm.model_entrypoint(name) for name in timm.list_models()]
    assert {verdict_of(model) for model in models} == {Verdict("open", "pretrained")}
    parts = [*reviewed_from("timm.layers"), *reviewed_from("timm.loss")]
    assert len(parts) > 100
    # It calls module.eval().
    known = {"timm.layers.hybrid_embed.HybridEmbed._init_backbone"}
    assert suspicious(parts, "timm", monkeypatch) <= known
    wrong = config(net, {"class": "timm.optim.Lamb"}, **lamb)
    with pytest.raises(ConfigError) as caught:
        create_session(wrong, "wrong", trust=["timm"])
    told = str(caught.value)
    assert '"timm.create_model" returns Module, which is not a dataset' in told
    assert '"timm.optim.Lamb" is not a torch.nn.Module' in told
    net["args"] = ["resnet10"]
    with pytest.raises((ConfigError, UserError), match=r"create_model: .*resnet10"):
        create_session(config(IMAGES, net), "unknown", trust=["timm"])


ON_IMAGES = """
import numpy as np


class OnImages:
    def __init__(self, pipeline):
        self.pipeline = pipeline

    def __call__(self, image):
        return self.pipeline(image=np.asarray(image))["image"]
"""


@pytest.mark.filterwarnings("ignore")
def test_albumentations(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("albumentations")
    (folder / "augmenting_by_name.py").write_text(ON_IMAGES)
    steps = [
        {"class": "albumentations.RandomResizedCrop", "kwargs": {"size": [8, 8]}},
        {"class": "albumentations.HorizontalFlip"},
        {"class": "albumentations.Normalize"},
        {"class": "albumentations.pytorch.ToTensorV2"},
    ]
    pipeline = {"class": "albumentations.Compose", "args": [steps], "kwargs": {"seed": 7}}
    images: dict[str, Any] = json.loads(json.dumps(IMAGES))
    images["kwargs"]["transform"] = {"class": "augmenting_by_name.OnImages", "args": [pipeline]}
    made = config(images, linear(3 * 8 * 8))
    assert trained(made, "albumentations") == trained(made, "albumentations")
    transforms = [*reviewed_from("albumentations"), *reviewed_from("albumentations.pytorch")]
    assert len(transforms) > 100
    assert suspicious(transforms, "albumentations", monkeypatch) <= {
        # Methods that nothing here calls, and the trace of a matrix.
        *(f"albumentations.core.serialization.{name}" for name in ("load", "save")),
        *(
            f"albumentations.core.hub_mixin.HubMixin.{name}"
            for name in ("from_pretrained", "_save_pretrained")
        ),
        "albumentations.augmentations.mixing.domain_adaptation_functional.DomainAdapter._pca_sign",
    }
    with pytest.raises(Refused, match="not among what has been reviewed"):
        find("albumentations.load", (), Allowlist(["albumentations"]))
    with pytest.raises(ConfigError, match=r'HorizontalFlip" is not a torch\.nn'):
        create_session(config(images, steps[1]), "wrong", trust=["albumentations"])


ENCODED = """
import torch


class Encoded(torch.utils.data.Dataset):
    def __init__(self, rows, tokenizer):
        self.rows, self.tokenizer = rows, tokenizer
        tokenizer.enable_padding(length=4)

    def __len__(self):
        return len(self.rows)

    def __getitem__(self, index):
        row = self.rows[index]
        return torch.tensor(self.tokenizer.encode(row["text"]).ids), row["label"]
"""


@pytest.mark.filterwarnings("ignore")
def test_tokenizers_and_datasets_of_hugging_face(folder: Path) -> None:
    tokenizers, datasets = map(pytest.importorskip, ("tokenizers", "datasets"))
    (folder / "encoded_by_name.py").write_text(ENCODED)
    words = {"[PAD]": 0, "good": 1, "bad": 2, "film": 3}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.Whitespace()
    tokenizer.save("tokenizer.json")
    rows = "".join(f"{'good' if i % 2 else 'bad'} film,{i % 2}\n" for i in range(10))
    Path("texts.csv").write_text(f"text,label\n{rows}")
    data = {
        "class": "encoded_by_name.Encoded",
        "args": [
            {"class": "datasets.Dataset.from_csv", "args": ["texts.csv"]},
            {"class": "tokenizers.Tokenizer.from_file", "args": ["tokenizer.json"]},
        ],
    }
    assert len(trained(config(data, linear(4)), "datasets", "tokenizers")) == 1
    trusting = Allowlist(["datasets", "tokenizers"])
    for path, args in (
        ("tokenizers.Tokenizer.from_pretrained", ["bert-base-uncased"]),
        ("datasets.Dataset.from_csv", ["https://example.com/a.csv"]),
        ("datasets.load_from_disk", ["s3://bucket/data"]),
    ):
        assert refused_to(find(path, (), trusting), args, {}, trusting) is not None
    for path in ("datasets.load_dataset", "datasets.Dataset.from_generator"):
        with pytest.raises(Refused, match="not among what has been reviewed of datasets"):
            find(path, (), trusting)
    assert find("datasets.load_dataset", (), Allowlist(["datasets.load"])) is datasets.load_dataset
    assert name_of(tokenizers.Tokenizer.from_file) == "tokenizers.from_file"
    wrong = config(data, {"class": "tokenizers.Tokenizer"})
    with pytest.raises(ConfigError, match=r'Tokenizer" is not a torch\.nn\.Module'):
        create_session(wrong, "wrong", trust=["datasets", "tokenizers"])
