"""Graphs as files: what onnxruntime, and torch without the models' code, make of them."""

from __future__ import annotations

import os
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from shutil import rmtree
from typing import Any

import onnxruntime
import pytest
import torch
from export_configs import PARTS, config_of, session_of
from export_parts import ByNumPy, Doubled
from safetensors.torch import load_file

from torchassistant.errors import ConfigError, SessionError, UserError
from torchassistant.export import Exported, export_session, packages

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
Tensors = dict[str, torch.Tensor]
NODE = {"model_name": "net", "inputs": ["x"], "outputs": ["y"]}
X = ["x", "y0"]


def exported(config: Any, folder: Path, format: str, **options: Any) -> tuple[Any, Exported]:
    session = session_of(config, folder)
    made = export_session(session.path, folder / format, format=format, trust=PARTS, **options)
    return session, made


def by_onnxruntime(folder: Path) -> Callable[[Tensors], Tensors]:
    session = onnxruntime.InferenceSession(folder / "model.onnx")
    names = [one.name for one in session.get_outputs()]

    def run(inputs: Tensors) -> Tensors:
        given = {name: value.numpy() for name, value in inputs.items()}
        return {
            n: torch.from_numpy(v) for n, v in zip(names, session.run(names, given), strict=True)
        }

    return run


def by_torch(folder: Path) -> Callable[[Tensors], Tensors]:
    module = torch.export.load(folder / "model.pt2").module()
    return lambda inputs: module(inputs)


def close(found: Tensors, wanted: Tensors) -> None:
    assert list(found) == list(wanted)
    for name, value in wanted.items():
        torch.testing.assert_close(found[name], value, rtol=1e-4, atol=1e-5)


def parts_of(path: Path) -> dict[str, bytes]:
    """A file by itself, or what is in it, where it is an archive."""
    if path.suffix == ".onnx":
        return {path.name: path.read_bytes()}
    with zipfile.ZipFile(path) as archive:
        return {name: archive.read(name) for name in archive.namelist()}


@pytest.mark.parametrize("format", ["onnx", "pt2"])
def test_several_inputs_and_outputs(tmp_path: Path, format: str) -> None:
    node = {
        "model_name": "net",
        "inputs": ["a", "b"],
        "outputs": {"hidden": "hidden", "best": "best"},
    }
    config = config_of({"net": {"class": "export_parts.TwoInOne"}}, [node])
    session, made = exported(config, tmp_path, format)
    run = (by_onnxruntime if format == "onnx" else by_torch)(made.folder)
    net = session.models["net"].eval()
    for size in (1, 3, 20):
        inputs = {"a": torch.randn(size, 3), "b": torch.randn(size, 2)}
        with torch.no_grad():
            wanted = net(**inputs)
        close(run(inputs), {name: wanted[name] for name in ("hidden", "best")})
    assert made.comparison is not None
    assert made.comparison.sizes == [1, 2, 7]
    assert made.comparison.shapes == {"hidden": ["batch", 4], "best": ["batch"]}
    parts = parts_of(made.folder / f"model.{format}")
    assert any(b"export_parts.TwoInOne" in part for part in parts.values())
    assert not any(str(HERE).encode() in part for part in parts.values()), "where the code lies"
    samples = [part for name, part in parts.items() if "sample_inputs" in name]
    assert not any(samples), "examples of the data"
    line = made.lines[-1]
    assert line.startswith("verified against torch in batches of 1, 2, 7; largest differences: ")
    assert line.endswith("(allowed: 1e-05 + 0.0001 · |torch's|)")


def test_weights_have_the_names_of_models(tmp_path: Path) -> None:
    config = config_of(
        {"net": {"class": "export_parts.TwoInOne"}},
        [NODE | {"outputs": {"best": "y"}, "inputs": ["a", "b"]}],
    )
    session, made = exported(config, tmp_path, "safetensors")
    found = load_file(made.folder / "model.safetensors")
    state = session.models["net"].state_dict()
    assert found.keys() == {f"net.{name}" for name in state}
    assert all(torch.equal(found[f"net.{name}"], value) for name, value in state.items())
    assert made.comparison is None


def test_exported_weights_begin_another_session(tmp_path: Path) -> None:
    nodes = [
        NODE | {"inputs": ["a"]},
        {"model_name": "net.head", "inputs": ["y"], "outputs": ["z"]},
    ]
    linear = {"class": "torch.nn.Linear", "args": [3, 2]}
    head = {"class": "torch.nn.Linear", "args": [2, 2]}
    config = config_of({"net": linear, "net.head": head}, nodes)
    first, made = exported(config, tmp_path, "safetensors")
    (tmp_path / "second").mkdir()

    def session(**weights: str) -> Any:
        sources = {"from": str(made.folder), **weights}
        models = {"net": {**linear, "weights": sources}, "net.head": {**head, "weights": sources}}
        return session_of({**config_of(models, nodes), "seed": 2}, tmp_path / "second")

    second = session()
    for name in ("net", "net.head"):
        state = first.models[name].state_dict()
        found = second.models[name].state_dict()
        assert state.keys() == found.keys()
        assert all(torch.equal(found[key], state[key]) for key in state)
    rmtree(tmp_path / "second" / "run")
    with pytest.raises(ConfigError, match=r'no model is named "nett" in .*did you mean "net"'):
        session(model="nett")


def test_an_adapter_that_can_be_traced_is_in_the_file(tmp_path: Path) -> None:
    config = config_of(
        {"net": {"class": "torch.nn.Linear", "args": [3, 2]}},
        [NODE],
        processor={"input_adapter": {"class": "export_parts.Doubled"}},
    )
    session, made = exported(config, tmp_path, "pt2")
    inputs = {"a": torch.randn(5, 3), "b": torch.randn(5, 2)}
    wanted = session.models["net"](Doubled()(inputs)["net"]["x"])
    close(by_torch(made.folder)(inputs), {"y": wanted})
    assert made.notes == []


@pytest.mark.parametrize(
    ("adapter", "model", "name", "why"),
    [
        ("ByNumPy", {"class": "torch.nn.Linear", "args": [3, 2]}, "x", "cannot be traced"),
        ("Noise", {"class": "export_parts.Generator"}, "noise", "draws random numbers"),
    ],
)
def test_a_first_adapter_that_cannot_be_traced_is_the_boundary(
    tmp_path: Path, adapter: str, model: Any, name: str, why: str
) -> None:
    config = config_of(
        {"net": model},
        [NODE | {"inputs": [name]}],
        processor={"input_adapter": {"class": f"export_parts.{adapter}"}},
    )
    session, made = exported(config, tmp_path, "pt2")
    (note,) = made.notes
    assert 'the input adapter of "net" is not in the file' in note
    assert why in note
    x = ByNumPy()({"a": torch.randn(5, 3)})["net"]["x"] if name == "x" else torch.randn(5, 4, 1, 1)
    with torch.no_grad():
        close(by_torch(made.folder)({name: x}), {"y": session.models["net"].eval()(x)})


def refused(config: Any, folder: Path, format: str = "pt2", **options: Any) -> str:
    with pytest.raises(UserError) as caught:
        exported(config, folder, format, **options)
    assert not (folder / format).exists()
    return str(caught.value)


def test_another_adapter_that_cannot_be_traced_is_named(tmp_path: Path) -> None:
    config = config_of(
        {"net": {"class": "torch.nn.Linear", "args": [3, 2]}},
        [NODE],
        columns=X,
        processor={"output_adapter": {"class": "export_parts.AfterNumPy"}},
    )
    said = refused(config, tmp_path)
    assert 'the output adapter of "net" cannot be exported' in said
    assert "export_parts.py" in said
    assert ".numpy()" in said


def test_a_model_that_decides_by_values_is_named_with_its_line(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "export_parts.Deciding"}}, [NODE], columns=X)
    said = refused(config, tmp_path)
    assert 'the node "net" of "net" cannot be exported' in said
    assert "in forward: if x.sum() > 0:" in said
    assert "depends on the values of a tensor" in said


def test_code_that_fixes_the_size_of_a_batch(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "export_parts.OfOneSize"}}, [NODE], columns=X)
    (tmp_path / "any").mkdir()
    assert "fixes the size of a batch to 7" in refused(config, tmp_path / "any")
    session, made = exported(config, tmp_path, "pt2", batch=5)
    x = torch.randn(5, 3)
    close(by_torch(made.folder)({"x": x}), {"y": session.models["net"](x)})
    assert made.comparison is not None
    assert made.comparison.sizes == [5, 5]


def test_a_model_that_draws_in_evaluation(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "export_parts.Drawing"}}, [NODE], columns=X)
    assert "draws random numbers in evaluation" in refused(config, tmp_path)


def test_run_inference_where_it_can_be_traced(tmp_path: Path) -> None:
    for kind in ("Inferring", "InferringByValue"):
        folder = tmp_path / kind
        folder.mkdir()
        config = config_of({"net": {"class": f"export_parts.{kind}"}}, [NODE], columns=X)
        session, made = exported(config, folder, "pt2")
        x = torch.randn(5, 3)
        net = session.models["net"]
        by_value = kind == "InferringByValue"
        close(by_torch(made.folder)({"x": x}), {"y": net(x) if by_value else net(x).argmax(-1)})
        assert [note.partition(",")[0] for note in made.notes] == (
            ["forward is in the file"] if by_value else []
        )


def test_wrong_uses(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "torch.nn.Linear", "args": [3, 2]}}, [NODE], columns=X)
    session = session_of(config, tmp_path)

    def said(kind: type[UserError], output: str = "new", **options: Any) -> str:
        with pytest.raises(kind) as caught:
            export_session(
                session.path, tmp_path / output, trust=PARTS, **{"format": "pt2"} | options
            )
        assert not (tmp_path / "new").exists()
        return str(caught.value)

    assert "no format" in said(ConfigError, format="tflite")
    assert 'no pipeline is named "lok"' in said(ConfigError, pipeline="lok")
    assert 'there is no input "xs"; did you mean "x"?' in said(ConfigError, dynamic=["xs:1"])
    assert "has the axes 0 to 1" in said(ConfigError, dynamic=["x:2"])
    assert "INPUT:AXIS" in said(ConfigError, dynamic=["x"])
    assert "is in the folder of the session" in said(SessionError, "run/files")
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "file").write_text("")
    assert "is there already" in said(SessionError, "there")


def test_a_package_that_is_missing_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(packages, "find_spec", lambda name: None)
    with pytest.raises(ConfigError, match=r'pip install "torchassistant\[export\]" installs it'):
        export_session(tmp_path, tmp_path / "new", format="onnx")


def test_the_command_and_what_others_import(tmp_path: Path) -> None:
    config = config_of({"net": {"class": "torch.nn.Linear", "args": [3, 2]}}, [NODE], columns=X)
    session = session_of(config, tmp_path)
    code = (
        "import sys; from torchassistant.cli.main import main\n"
        "import torchassistant.cli.commands\n"
        "assert not {'torch.onnx', 'torchassistant.export'} & sys.modules.keys()\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    output = str(tmp_path / "new")
    arguments = ["export", str(session.path), "--format", "safetensors", "--trust", *PARTS]
    done = subprocess.run(
        [sys.executable, "-c", code, *arguments, "-o", output],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(HERE), str(ROOT)])},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout == "exported to new\n"
    assert (tmp_path / "new" / "model.safetensors").is_file()
