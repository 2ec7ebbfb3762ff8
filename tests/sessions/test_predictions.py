"""Inputs are treated as the dataset treats its examples, and each says what came of it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pictures
import pytest
import torch
from torchvision.transforms import Normalize, ToTensor
from toy_config import Command, Config, toy_config, write

import torchassistant
from torchassistant.errors import ConfigError, DataError, UserCodeError
from torchassistant.session import NotPredicted, Session

TENSORS = {"class": "torchvision.transforms.ToTensor"}
META = [{"input_converter": {"class": "ImageFile"}}]
READY = [{"input_converter": {"class": "pictures.ReadyPicture"}}]


def config_of(data: Config, over: str = "points", **more: Any) -> Config:
    config = toy_config(
        points=data,
        training={"dataset": over},
        checking={"dataset": over},
        net={"class": "pictures.Seeing"},
        mse={"class": "CrossEntropyLoss", "inputs": ["y_hat", "y"]},
        **more,
    )
    if "parts" not in json.dumps([over, more]):
        del config["initialize"]["definitions"][1]
    return config


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Three pictures, and things that are none."""
    folder = tmp_path / "images"
    (folder / "deeper").mkdir(parents=True)
    for brightness in (0, 100, 200):
        pictures.picture(brightness).save(folder / f"{brightness}.png")
    (folder / "notes.txt").write_text("none")
    (folder / ".hidden.png").write_text("none")
    return folder


def scores(session: Session, value: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return session.models["net"](value.unsqueeze(0))


LAYERS: dict[str, tuple[str, Config]] = {
    "itself": ("points", {}),
    "a slice": ("parts.val", {}),
    "a link to a merge": (
        "linked",
        {
            "merged": ("datasets", {"merge": ["parts.train", "parts.val"]}),
            "linked": ("datasets", {"link": "merged"}),
        },
    ),
    "a preprocessor": (
        "linked",
        {
            "null": ("preprocessors", {"class": "NullPreprocessor"}),
            "linked": ("datasets", {"link": "points", "preprocessors": ["null"]}),
        },
    ),
}


@pytest.mark.parametrize("layers", LAYERS)
@pytest.mark.parametrize(
    "data",
    [
        {"class": "pictures.Pictures", "kwargs": {"transform": TENSORS}},
        {"class": "pictures.Pictures", "args": [TENSORS], "cache": "memory"},
    ],
    ids=["kwargs", "args and cache"],
)
def test_the_transform_of_the_config(
    tmp_path: Path, images: Path, data: Config, layers: str
) -> None:
    over, more = LAYERS[layers]
    session = torchassistant.create_session(config_of(data, over, **more), tmp_path / "run")
    (made,) = session.infer(str(images / "100.png"), inputs_meta=META)
    assert torch.equal(made["y_hat"], scores(session, ToTensor()(pictures.picture(100))))


def test_torchvisions_own(tmp_path: Path, images: Path) -> None:
    data = {
        "class": "torchvision.datasets.FakeData",
        "kwargs": {"size": 6, "image_size": [1, 4, 4], "num_classes": 3, "transform": TENSORS},
    }
    data["kwargs"]["transform"] = {
        "class": "torchvision.transforms.Compose",
        "args": [[{"class": "torchvision.transforms.Grayscale"}, TENSORS]],
    }
    data["kwargs"]["image_size"] = [3, 4, 4]
    session = torchassistant.create_session(config_of(data), tmp_path / "run")
    (made,) = session.infer(str(images / "100.png"), inputs_meta=META)
    assert torch.equal(made["y_hat"], scores(session, ToTensor()(pictures.picture(100))))


def test_an_attribute_and_no_argument(tmp_path: Path, images: Path, command: Command) -> None:
    config = config_of({"class": "pictures.Settled"})
    session = torchassistant.create_session(config, tmp_path / "run")
    expected = scores(session, Normalize(0.5, 0.5)(ToTensor()(pictures.picture(100))))
    (made,) = session.infer(str(images / "100.png"), inputs_meta=META)
    assert torch.equal(made["y_hat"], expected)
    write(tmp_path / "i.json", {"session_dir": "run", "inputs_meta": META})
    asked = ("infer.py", "i.json", "images/100.png", "--trust", "pictures")
    done = command(*asked)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout.removeprefix("y_hat: ")) == [
        pytest.approx(expected[0].tolist(), abs=1e-5)
    ]
    # Where its files are gone, that is said, and what to do.
    (tmp_path / "gone").touch()
    done = command(*asked)
    assert done.returncode == 1
    assert 'the dataset "points" may apply a transform of its own' in done.stderr
    assert "the input converter has to do it" in done.stderr


def test_what_is_done_in_secret_is_not_known(tmp_path: Path, images: Path) -> None:
    config = config_of({"class": "pictures.Secretive"})
    session = torchassistant.create_session(config, tmp_path / "run")
    with pytest.raises(UserCodeError, match="the input converter has to do"):
        session.infer(str(images / "100.png"), inputs_meta=META)
    (made,) = session.infer(str(images / "100.png"), inputs_meta=READY)
    assert torch.equal(made["y_hat"], scores(session, ToTensor()(pictures.picture(100))))


def test_what_keeps_the_transform_off(tmp_path: Path, images: Path) -> None:
    config = config_of({"class": "pictures.Pictures", "kwargs": {"transform": TENSORS}})
    session = torchassistant.create_session(config, tmp_path / "run")
    file = str(images / "100.png")
    with pytest.raises(UserCodeError, match='"transform": false disables the transform of'):
        session.infer(file, inputs_meta=[{**META[0], "transform": False}])
    with pytest.raises(DataError, match="no input converter is named for the port"):
        session.infer(file)


def test_what_a_converter_has_done_is_not_done_again(
    tmp_path: Path, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    data = {"class": "pictures.Pictures", "kwargs": {"transform": TENSORS}}
    session = torchassistant.create_session(config_of(data), tmp_path / "one")
    path, value = str(images / "100.png"), ToTensor()(pictures.picture(100))
    (made,) = session.infer(path, inputs_meta=READY)
    assert torch.equal(made["y_hat"], scores(session, value))
    assert capsys.readouterr().err == ""
    with pytest.raises(DataError, match='the transform of the dataset "points" cannot take'):
        session.infer(path, inputs_meta=[{**READY[0], "transform": True}])

    # A transform that could be applied to it is told of, until the config has decided.
    session = torchassistant.create_session(
        config_of({"class": "pictures.Settled"}), tmp_path / "two"
    )
    session.datasets["points"].transform = Normalize(0.5, 0.5)
    for decided, expected in ((None, value), (False, value), (True, Normalize(0.5, 0.5)(value))):
        (made,) = session.infer(path, inputs_meta=[{**READY[0], "transform": decided}])
        assert torch.equal(made["y_hat"], scores(session, expected))
        assert ('"transform": true in inputs_meta' in capsys.readouterr().err) == (decided is None)


def test_a_transform_that_is_asked_for_must_be_there(tmp_path: Path, images: Path) -> None:
    session = torchassistant.create_session(
        config_of({"class": "pictures.Secretive"}), tmp_path / "run"
    )
    with pytest.raises(ConfigError, match="it has none that can be found"):
        session.infer(str(images / "0.png"), inputs_meta=[{**META[0], "transform": True}])


# Which input, and which are lost


@pytest.fixture
def session(tmp_path: Path) -> Session:
    """A session over pictures."""
    data = {"class": "pictures.Pictures", "kwargs": {"transform": TENSORS}}
    return torchassistant.create_session(config_of(data), tmp_path / "run")


def test_a_folder_is_its_files(
    session: Session, images: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    names = [str(images / f"{brightness}.png") for brightness in (0, 100, 200)]
    apart = session.infer(*names, inputs_meta=META)
    together = session.infer(str(images), inputs_meta=META)
    assert [made["y_hat"].tolist() for made in together] == [x["y_hat"].tolist() for x in apart]
    assert '"deeper", "notes.txt" are skipped' in capsys.readouterr().err
    (images / "deeper" / "x.txt").touch()
    with pytest.raises(DataError, match="holds no file of a kind that"):
        session.infer(str(images / "deeper"), inputs_meta=META)


def test_one_bad_input_does_not_lose_the_others(session: Session, images: Path) -> None:
    good, large = str(images / "0.png"), str(images / "large.png")
    pictures.picture(0).resize((9, 9)).save(large)
    with pytest.raises(NotPredicted) as caught:
        session.infer(good, "missing.png", large, good, inputs_meta=META)
    made = caught.value.predictions
    assert [one.input for one in made] == [good, "missing.png", large, good]
    assert [one.error is None for one in made] == [True, False, False, True]
    assert torch.equal(made[0].result["y_hat"], made[3].result["y_hat"])
    assert "there is no file missing.png" in str(caught.value)
    assert 'at the port "input" "x" is a Tensor of float32, shape (1, 1, 9, 9)' in str(caught.value)
    with pytest.raises(DataError, match=r"^there is no file missing.png$"):
        session.infer("missing.png", inputs_meta=META)


def test_from_the_command_line(
    session: Session, tmp_path: Path, images: Path, command: Command
) -> None:
    asked = {"session_dir": "run", "inputs_meta": META, "results": ["y_hat"]}
    write(tmp_path / "i.json", asked)

    def infer(*inputs: str, config: str = "i.json") -> Any:
        return command("infer.py", config, *inputs, "--trust", "pictures")

    done = infer("images", "missing.png")
    assert done.returncode == 1
    inputs = [line.partition(": ")[0] for line in done.stdout.splitlines()]
    assert inputs == ["images/0.png", "images/100.png", "images/200.png"]
    assert "error: there is no file missing.png" in done.stderr.splitlines()
    done = infer("missing.png", "images/notes.txt")
    assert (done.returncode, done.stdout) == (2, "")
    assert len(done.stderr.splitlines()) == 2

    # The dataset is there for a post-processor, and only for one that asks.
    named = {"post_processor": {"class": "pictures.AskedFor"}}
    lines = {"output_device": {"class": "JsonLines", "args": ["out.jsonl"]}}
    write(tmp_path / "named.json", {**asked, **named, **lines})
    assert infer("images/0.png", config="named.json").returncode == 0
    (told,) = map(json.loads, (tmp_path / "out.jsonl").read_text().splitlines())
    assert told["input"] == told["result"][0] == "images/0.png"
    assert told["result"][1] in pictures.Pictures.classes
    (tmp_path / "gone").touch()
    assert infer("images/0.png").returncode == 0
    done = infer("images/0.png", config="named.json")
    assert done.returncode == 2
    assert 'the dataset "points" is needed, and cannot be built: FileNotFoundError' in done.stderr
