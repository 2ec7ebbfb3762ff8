"""What lies beside a model: a script without torch, JSON, a card; and metrics by the file."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from export_configs import PARTS, Config, config_of, session_of
from export_parts import Pictures
from PIL import Image

from torchassistant.errors import ConfigError
from torchassistant.export import export_session, portable
from torchassistant.export.measuring import Measured
from torchassistant.export.model_card import model_card
from torchassistant.export.prediction_files import predict_script, steps_module
from torchassistant.session import infer_config

assert callable(model_card)

WITHOUT_TORCH = """
import sys

class Forbidden:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("torch", "torchassistant", "torchvision", "onnx"):
            raise ImportError(f"{name} is forbidden here")

sys.meta_path.insert(0, Forbidden())
import runpy
sys.argv[:] = sys.argv[1:]
sys.path[0] = sys.argv[0].rpartition('/')[0]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


def run_script(folder: Path, *inputs: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", WITHOUT_TORCH, str(folder / "predict.py"), *inputs],
        capture_output=True,
        text=True,
        check=False,
        env={key: value for key, value in os.environ.items() if key != "PYTHONPATH"},
    )


def predicted(folder: Path, *inputs: str) -> str:
    done = run_script(folder, *inputs)
    assert done.returncode == 0, done.stderr
    return done.stdout


def rounded(text: str) -> str:
    """Numbers of the last digit may differ: torch and onnxruntime add in another order."""
    return re.sub(r"-?\d+\.\d+(e-\d+)?", lambda found: f"{float(found[0]):.4f}", text)


def one(group: str, name: str, spec: Config) -> Config:
    return {"group": group, "name": name, "spec": spec}


def of_three_ports() -> Config:
    sources = {
        "pictures": ("Pictures", [("scale", {"class": "ImageNormalizer"}), (None, None)]),
        "texts": (
            "Texts",
            [("words_of", {"class": "TextTokenizer", "kwargs": {"lowercase": True}})],
        ),
        "tables": (
            "Tables",
            [("numbers_of", {"class": "NumberNormalizer"}), ("colours", {"class": "Categories"})],
        ),
    }
    more = [one("collators", "pad", {"class": "PadSequences"})]
    for name, (kind, columns) in sources.items():
        more.append(one("datasets", name, {"class": f"export_parts.{kind}"}))
        for key, spec in columns:
            if key is not None:
                more.append(one("preprocessors", key, {**spec, "fit": name}))
        link = {"link": name, "preprocessors": [key for key, _ in columns]}
        more.append(one("datasets", f"{name}_done", link))
        loader = {"dataset": f"{name}_done", "collator": "pad", "kwargs": {"batch_size": 4}}
        more.append(one("loader_factories", name, loader))
    more.append(
        one("metrics", "right", {"class": "export_parts.share_of_class", "inputs": ["y", "label"]})
    )
    node = {
        "model_name": "net",
        "inputs": ["pixels", "words", "numbers", "colour"],
        "outputs": ["y"],
    }
    config = config_of({"net": {"class": "export_parts.OfThree"}}, [node], more=more)
    names = {"pictures": ["pixels", "label"], "texts": ["words"], "tables": ["numbers", "colour"]}
    look = config["initialize"]["pipelines"]["look"]
    look["input_factories"] = [
        {"loader_factory": port, "input_alias": port, "variable_names": columns}
        for port, columns in names.items()
    ]
    look["metrics"] = [{"metric_name": "right", "display_name": "right"}]
    look["losses"] = []
    kept = []
    for definition in config["initialize"]["definitions"]:
        if definition["name"] == "look":
            definition["spec"]["input_aliases"] = list(names)
            definition["spec"]["ingoing_edges"] = {"net": list(names)}
        if definition["name"] not in ("data", "all"):
            kept.append(definition)
    config["initialize"]["definitions"] = kept
    config["inference"]["inputs_meta"] = [
        {
            "input_alias": "pictures",
            "input_converter": {"class": "ImageFile", "kwargs": {"size": 6}},
        },
        {"input_alias": "texts", "input_converter": {"class": "Text"}},
        {"input_alias": "tables", "input_converter": {"class": "JsonValue"}},
    ]
    return config


def test_the_script_predicts_what_infer_does(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = session_of(of_three_ports(), tmp_path)
    folder = tmp_path / "new"
    made = export_session(session.path, folder, format="onnx", metric=True, trust=PARTS)
    assert made.notes == []
    paths = [str(tmp_path / f"{name}.png") for name in "ab"]
    for index, path in enumerate(paths):
        Image.fromarray(np.kron(Pictures()[index][0], np.ones((2, 2), np.uint8))).save(path)
    inputs = [paths[0], "one THREE seven", '[[1, 2.5, 0], "blue"]']
    inputs += [paths[1], "four", '[[7, 0, 1], "red"]']
    for given in (inputs[:3], inputs):
        infer_config(session.path, given, trust=PARTS)
        wanted = capsys.readouterr().out
        assert rounded(predicted(folder, *given)) == rounded(wanted)
    assert len((folder / "predict.py").read_text().splitlines()) <= 66, "it is more than a page"
    assert made.measured is not None
    assert made.measured.file == made.measured.torch == session.evaluate(["look"])
    assert made.measured.lines == Measured(made.measured.torch, made.measured.file).lines
    said = json.loads((folder / "export.json").read_text())
    assert said["inputs"]["words"]["shape"] == ["batch", "words_1"]
    assert said["preprocessors"]["colours"]["values"] == ["blue", "green", "red"]
    card = (folder / "README.md").read_text()
    for text in (
        "## Metrics",
        "| right |",
        "| `words` | int64 | batch × words_1 |",
        "| `y` | float32 | batch × 2 |",
        "python predict.py image.png 'a text' '[1, 2]'",
        "## Data",
        "pictures: 12 examples",
        "sha256",
        "## Config",
    ):
        assert text in card
    assert str(tmp_path) not in card, "where the session lies is nobody's business"


def test_a_preprocessor_of_ones_own_leaves_arrays(tmp_path: Path) -> None:
    more = [
        one("preprocessors", "half", {"class": "export_parts.Halved"}),
        one("datasets", "halved", {"link": "data", "preprocessors": ["half"]}),
    ]
    node = {"model_name": "net", "inputs": ["a"], "outputs": ["y"]}
    config = config_of(
        {"net": {"class": "torch.nn.Linear", "args": [3, 2]}},
        [node],
        more=more,
        loader={"dataset": "halved"},
    )
    session = session_of(config, tmp_path)
    folder = tmp_path / "new"
    made = export_session(session.path, folder, format="onnx", trust=PARTS, dtype="float16")
    assert made.notes == [
        "predict.py takes .npz of arrays, and no texts: the preprocessor Halved is not built in"
    ]
    a = np.random.default_rng(0).standard_normal((5, 3)).astype(np.float32)
    np.savez(tmp_path / "batch.npz", a=a)
    assert predicted(folder, str(tmp_path / "batch.npz")) == ""
    found = np.load(tmp_path / "batch.out.npz")["y"]
    wanted = session.models["net"](torch.from_numpy(a)).detach().numpy()
    np.testing.assert_allclose(found, wanted, atol=1e-2)
    assert found.dtype == np.float32


def test_a_metric_needs_what_it_reads(tmp_path: Path) -> None:
    metric = {"class": "MSELoss", "inputs": ["y", "label"]}
    node = {"model_name": "net", "inputs": ["a"], "outputs": ["y"]}
    head = {"model_name": "head", "inputs": ["y"], "outputs": ["z"]}
    config = config_of(
        {
            "net": {"class": "torch.nn.Linear", "args": [3, 2]},
            "head": {"class": "torch.nn.Linear", "args": [2, 2]},
        },
        [node, head],
        columns=["a", "label"],
        more=[one("losses", "right", metric)],
        results=["z"],
    )
    config["initialize"]["pipelines"]["look"]["losses"] = [{"loss_name": "right"}]
    session = session_of(config, tmp_path)
    with pytest.raises(ConfigError, match='reads "y", which the file does not give'):
        export_session(session.path, tmp_path / "new", format="pt2", metric=True, trust=PARTS)
    assert not (tmp_path / "new").exists()
    with pytest.raises(ConfigError, match="no graph that --metric could measure"):
        export_session(session.path, tmp_path / "new", format="safetensors", metric=True)


def test_the_script_holds_what_it_needs_only() -> None:
    script = predict_script(None, "the preprocessor Own is not built in")
    assert "the preprocessor Own is not built in" in " ".join(script.split())
    assert "predict_steps" not in script
    assert len(script.splitlines()) < 50
    steps = steps_module([], {"does": "best_class"})
    assert "def best_class" in steps
    assert "def text_tokenizer" not in steps
    assert portable.one_hot(2, {"num_classes": 4}).tolist() == [0, 0, 1, 0]


def test_the_session_and_its_inference_block(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    config = of_three_ports()
    config["inference"]["postprocessor"] = {
        "class": "BestClass",
        "kwargs": {"column": "y", "names": ["small", "large"]},
    }
    session = session_of(config, tmp_path)
    made = export_session(session.path, tmp_path / "new", format="onnx", trust=PARTS)
    assert made.notes == []
    path = str(tmp_path / "a.png")
    Image.fromarray(Pictures()[0][0]).save(path)
    given = [path, "two", '[[1, 2.5, 0], "blue"]', path, "four", '[[-9, 0, 40], "red"]']
    infer_config(session.path, given, trust=PARTS)
    wanted = capsys.readouterr().out
    assert predicted(tmp_path / "new", *given) == wanted
    assert {line.rpartition(" ")[2] for line in wanted.splitlines()} <= {"small", "large"}
    bad = [
        "no.png",
        "two",
        '[[1, 2.5, 0], "red"]',
        *given[:3],
        path,
        "two",
        '[[1, 2, 0], "violet"]',
    ]
    done = run_script(tmp_path / "new", *bad)
    assert done.returncode == 1
    assert done.stdout == wanted.partition("\n")[0] + "\n"
    first, last = done.stderr.splitlines()
    assert first == 'error: no.png, two, [[1, 2.5, 0], "red"]: there is no file no.png'
    assert last.endswith("""there is no value "violet" among ['blue', 'green', 'red']""")
    assert run_script(tmp_path / "new", path).stderr == (
        "error: one input is needed for each of pictures, texts, tables; found 1\n"
    )


def test_without_an_input_converter_it_takes_arrays(tmp_path: Path) -> None:
    node = {"model_name": "net", "inputs": ["a"], "outputs": ["y"]}
    config = config_of({"net": {"class": "torch.nn.Linear", "args": [3, 2]}}, [node])
    session = session_of(config, tmp_path)
    made = export_session(session.path, tmp_path / "new", format="onnx", trust=PARTS)
    assert made.notes == [
        "predict.py takes .npz of arrays, and no texts: no input converter is named for the port "
        '"in"; "inputs_meta" names one, in an inference config that is exported, or by --set'
    ]
    done = run_script(tmp_path / "new", "a.png")
    assert done.returncode == 1
    assert done.stderr.startswith("error: a.png is no file .npz\n\nPredict with model.onnx")
    assert "no input converter is named" in " ".join(done.stderr.split())
    np.savez(tmp_path / "batch.npz", x=np.zeros((2, 3)))
    done = run_script(tmp_path / "new", str(tmp_path / "batch.npz"))
    assert done.stderr == "error: no array is named a; found x\n"
