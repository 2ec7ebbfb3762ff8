"""Predictions for all the data of a pipeline: one row for each example, with its index."""

from __future__ import annotations

import csv
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.utils.data import IterableDataset
from toy_config import Command, Config, toy_config, write
from toys import Points

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError, UserError
from torchassistant.session import Session, infer_config

HERE = __name__


class Wide(nn.Module):
    """(B, 2) -> a score (B,), a small tensor (B, 2, 2), a large one (B, 10, 20)."""

    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Linear(2, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        score = self.layer(x)[:, 0]
        return score, x.unsqueeze(1).expand(-1, 2, 2), score.view(-1, 1, 1).expand(-1, 10, 20)


class Named(Points):
    """Points with an id."""

    def __getitem__(self, index: int) -> dict[str, Any]:  # type: ignore[override]
        x, y = super().__getitem__(index)
        return {"x": x, "y": y, "id": f"point, {index}"}


class Stream(IterableDataset[Any]):
    """Points of which nobody knows where they are."""

    def __iter__(self) -> Any:
        points = Points(10)
        yield from (points[index] for index in range(10))


class Sign:
    """A post-processor: the sign, in words, of a batch of one."""

    def __init__(self, session: Any) -> None:
        self.count = len(session.datasets["points"])

    def __call__(self, columns: dict[str, Tensor], input: str) -> str:
        (value,) = columns["y_hat"].flatten().tolist()
        return f"{input}/{self.count}: {'+' if value > 0 else '-'}"


PLACES = ("0,0", "0,1", "1,0", "1,1")


def made(tmp_path: Path, config: Config | None = None) -> Session:
    return create_session(config or toy_config(), tmp_path / "run", preflight=False)


def rows(path: Path) -> list[dict[str, str]]:
    with path.open(newline="") as file:
        return list(csv.DictReader(file))


def expected(session: Session, indices: list[int]) -> list[float]:
    net = session.models["net"].eval()
    x = Points().x[indices]
    with torch.no_grad():
        return [net(part).item() for part in x.split(1)]


def test_a_row_for_each_example_with_its_index_in_the_dataset(tmp_path: Path) -> None:
    session = made(tmp_path)
    indices = session.splits["parts"].val.indices
    outcome = infer_config(session.path, [], pipeline="check", output=tmp_path / "p.csv")
    assert (outcome.made, outcome.failed) == (10, 0)
    found = rows(tmp_path / "p.csv")
    assert list(found[0]) == ["index", "y_hat"]
    assert [int(row["index"]) for row in found] == indices
    values = torch.tensor([float(row["y_hat"]) for row in found])
    assert torch.allclose(values, torch.tensor(expected(session, indices)))
    assert [one["index"] for one in session.predict("check")] == indices
    assert [float(one["y_hat"]) for one in session.predict("check")] == values.tolist()


@pytest.mark.parametrize("workers", [0, 2])
def test_training_data_is_read_in_order_and_whole(tmp_path: Path, workers: int) -> None:
    """Whatever is shuffled, left out or done by workers in training."""
    loader = {
        "dataset": "linked",
        "kwargs": {"batch_size": 8, "shuffle": True, "drop_last": True, "num_workers": workers},
    }
    more = {
        "null": ("preprocessors", {"class": "NullPreprocessor"}),
        "linked": ("datasets", {"link": "parts.val", "preprocessors": ["null"]}),
    }
    session = made(tmp_path, toy_config(training=loader, **more))
    infer_config(session.path, [], pipeline="fit", output=tmp_path / "p.jsonl", columns=["y", "x"])
    found = [json.loads(line) for line in (tmp_path / "p.jsonl").read_text().splitlines()]
    indices = session.splits["parts"].val.indices
    assert [row["index"] for row in found] == indices
    points = Points()
    assert [row["x"] for row in found] == points.x[indices].tolist()
    assert [row["y"] for row in found] == [points[index][1].tolist() for index in indices]
    assert set(found[0]) == {"index", "y", "x", "y_hat"}


def test_another_loader_and_ids(tmp_path: Path) -> None:
    config = toy_config(
        named=("datasets", {"class": f"{HERE}.Named", "args": [5]}),
        those=("loader_factories", {"dataset": "named", "kwargs": {"batch_size": 2}}),
    )
    for pipeline in config["initialize"]["pipelines"].values():
        pipeline["input_factories"][0]["variable_names"] = ["x", "y", "id"]
    config["initialize"]["pipelines"] = {
        name: {**pipeline, "input_factories": [{"loader_factory": "those"}]}
        for name, pipeline in config["initialize"]["pipelines"].items()
    }
    session = made(tmp_path, config)
    infer_config(session.path, [], pipeline="check", output=tmp_path / "p.csv")
    assert [row["id"] for row in rows(tmp_path / "p.csv")] == [f"point, {i}" for i in range(5)]


def test_a_loader_factory_in_place_of_inputs(tmp_path: Path) -> None:
    session = made(tmp_path)
    source = tmp_path / "inference.json"
    asked = {"session_dir": str(session.path), "inference_pipeline": "check"}
    write(source, {**asked, "loader_factory": "training"})
    outcome = infer_config(source, [], output=tmp_path / "p.csv")
    indices = [int(row["index"]) for row in rows(tmp_path / "p.csv")]
    assert (outcome.made, indices) == (30, session.splits["parts"].train.indices)
    write(source, {**asked, "loader_factory": "trainin"})
    with pytest.raises(ConfigError, match='named "trainin"; did you mean "training"'):
        infer_config(source, [])


def test_large_tensors_are_arrays_beside_the_table(tmp_path: Path) -> None:
    config = toy_config(net={"class": f"{HERE}.Wide"})
    (processor,) = (d for d in config["initialize"]["definitions"] if d["name"] == "processor")
    processor["spec"]["neural_graph"][0]["outputs"] = ["y_hat", "small", "large"]
    session = made(tmp_path, config)
    infer_config(session.path, [], pipeline="check", output=tmp_path / "p.csv")
    found = rows(tmp_path / "p.csv")
    assert list(found[0]) == [
        "index",
        "y_hat",
        *(f"small[{i},{j}]" for i in (0, 1) for j in (0, 1)),
    ]
    with np.load(tmp_path / "p.npz") as arrays:
        large = arrays["large"]
    assert large.shape == (10, 10, 20)
    assert large.dtype == np.float32
    assert large[:, 3, 4].tolist() == [float(row["y_hat"]) for row in found]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["p.csv", "p.npz", "run"]
    infer_config(session.path, [], pipeline="check", output=tmp_path / "p.jsonl")
    line = json.loads((tmp_path / "p.jsonl").read_text().splitlines()[0])
    assert np.array_equal(np.float32(line["large"]), large[0])


def test_nothing_is_replaced_unless_it_is_said(tmp_path: Path) -> None:
    session = made(tmp_path)
    path = tmp_path / "p.csv"
    path.write_text("mine")
    with pytest.raises(UserError, match="is there already; --overwrite replaces it"):
        infer_config(session.path, [], pipeline="check", output=path)
    assert path.read_text() == "mine"
    infer_config(session.path, [], pipeline="check", output=path, overwrite=True)
    assert len(rows(path)) == 10
    with pytest.raises(UserError, match=r"written as \.csv, \.jsonl or \.ndjson"):
        infer_config(session.path, [], pipeline="check", output=tmp_path / "p.txt")


def test_a_failure_leaves_no_file(tmp_path: Path) -> None:
    session = made(tmp_path)
    with pytest.raises(UserError, match='gives no column "z"'):
        infer_config(session.path, [], pipeline="check", output=tmp_path / "p.csv", columns=["z"])
    with pytest.raises(ConfigError, match='no pipeline is named "chek"; did you mean "check"'):
        infer_config(session.path, [], pipeline="chek", output=tmp_path / "p.csv")
    with pytest.raises(ConfigError, match="there is no input; --pipeline NAME"):
        infer_config(session.path, [])
    assert [path.name for path in tmp_path.iterdir()] == ["run"]


def test_a_stream_is_counted(tmp_path: Path) -> None:
    config = toy_config(checking={"dataset": "stream", "kwargs": {"batch_size": 4}})
    config["initialize"]["definitions"].append(
        {"group": "datasets", "name": "stream", "spec": {"class": f"{HERE}.Stream"}}
    )
    session = made(tmp_path, config)
    assert [one["index"] for one in session.predict("check")] == list(range(10))


def test_a_column_without_rows_is_told(tmp_path: Path) -> None:
    config = toy_config()
    (processor,) = (d for d in config["initialize"]["definitions"] if d["name"] == "processor")
    processor["spec"]["output_adapter"] = {"class": f"{HERE}.MeanBeside"}
    session = made(tmp_path, config)
    with pytest.raises(DataError, match=r'"mean" has no row for each of 8 examples.*"results"'):
        session.predict("check", columns=["mean"])
    assert len(session.predict("check")) == 10


class MeanBeside:
    """An output adapter."""

    def __call__(self, frame: dict[str, Any]) -> dict[str, Any]:
        return {**frame, "mean": frame["y_hat"].mean()}


KEPT = {
    "inference_pipeline": "check",
    "inputs_meta": [{"input_converter": {"class": "toys.NumberToRow"}}],
    "postprocessor": {"class": f"{HERE}.Sign"},
    "results": ["y_hat"],
}


def test_the_session_keeps_how_predictions_are_made(tmp_path: Path) -> None:
    session = made(tmp_path, {**toy_config(), "inference": KEPT})
    session.train()
    signs = session.infer("1,2", "-3,-4")
    assert [text.partition("/")[2] for text in signs] == ["40: +", "40: -"]
    outcome = infer_config(session.path, ["1,2", "-3,-4"], output=tmp_path / "p.csv")
    assert outcome.made == 2
    assert [row["result"] for row in rows(tmp_path / "p.csv")] == signs
    assert [row["input"] for row in rows(tmp_path / "p.csv")] == ["1,2", "-3,-4"]
    whole = session.predict()
    assert [one["result"].partition("/")[0] for one in whole] == [
        str(one["index"]) for one in whole
    ]
    # It may change at any time, and what is given to a call wins.
    other = load_session(session.path, settings=["inference.results=null"])
    assert other.spec.inference is not None
    assert other.spec.inference.results is None
    (columns,) = session.infer("1,2", postprocessor=None)
    assert list(columns) == ["y_hat"]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"inference_pipeline": "chek"}, 'no pipeline is named "chek"; did you mean "check"'),
        ({"loader_factory": "checkin"}, 'no loader factory is named "checkin"'),
        ({"session_dir": "run"}, "session_dir"),
        ({"postprocessor": {"class": f"{HERE}.Sing"}}, "Sing"),
    ],
)
def test_a_wrong_inference_block_is_a_problem(
    tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        made(tmp_path, {**toy_config(), "inference": {**KEPT, **change}})


def test_the_command(tmp_path: Path, command: Command) -> None:
    config = write(tmp_path / "config.json", toy_config())
    assert command("init.py", config, "--no-preflight").returncode == 0
    done = command("infer.py", "run", "--pipeline", "check", "-o", "p.csv", "--column", "y")
    assert (done.returncode, done.stdout) == (0, "10 predictions written to p.csv\n"), done.stderr
    assert list(rows(tmp_path / "p.csv")[0]) == ["index", "y", "y_hat"]
    again = command("infer.py", "run", "--pipeline", "check", "-o", "p.csv")
    assert again.returncode == 2
    assert "--overwrite" in again.stderr
