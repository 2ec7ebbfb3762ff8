"""One example that is not like the others is to blame, with its index, and nothing else is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from toy_config import Command, Config, toy_config, write

import torchassistant
from torchassistant.errors import UserCodeError, UserError


def config_of(
    rows: Config,
    over: str = "points",
    columns: tuple[str, ...] = ("x", "y"),
    loader: Config | None = None,
    **changes: Any,
) -> Config:
    """The toy over other data, in its order; trained and checked on all of it, once."""
    kwargs = {"batch_size": 4, "shuffle": False, **(loader or {})}
    factory = {"dataset": over, "kwargs": kwargs, **changes.pop("factory", {})}
    config = toy_config(points=rows, training=factory, checking=factory, **changes)
    del config["initialize"]["definitions"][1]  # the split
    for pipeline in config["initialize"]["pipelines"].values():
        pipeline["input_factories"][0]["variable_names"] = list(columns)
    config["train"]["stages"][0]["stop_condition"]["kwargs"]["num_epochs"] = 1
    return config


def rows(*args: Any, kind: str = "Rows") -> Config:
    return {"class": f"odd_data.{kind}", "args": list(args)}


def refused(path: Path, config: Config) -> str:
    """What is told of a config that is refused at its creation or in training."""
    with pytest.raises(UserError) as caught:
        torchassistant.create_session(config, path / "run").train()
    told = str(caught.value)
    assert not any(part in told for part in ("node", "Traceback", "torchassistant/"))
    return told


TOLD = {
    "None": "None",
    "text": "a text",
    "number": "a float",
    "longer": "a float32 tensor of shape (3,)",
    "deeper": "a float32 tensor of shape (1, 2)",
    "list": "a list of numbers",
    "double": "a float64 tensor of shape (2,)",
    "dict": "a dict of a",
    "object": "an object",
    "bytes": "bytes",
}


@pytest.mark.parametrize("at", [0, 9, 10], ids=["early", "late", "alone"])
@pytest.mark.parametrize(
    ("odd", "column"), [*((odd, 0) for odd in TOLD), *((odd, 1) for odd in list(TOLD)[:5])]
)
def test_one_odd_value(tmp_path: Path, odd: str, column: int, at: int) -> None:
    loader = {"batch_size": 5} if at == 10 else {}
    told = refused(tmp_path, config_of(rows(odd, column, at), loader=loader))
    name, shape = [("x", "(2,)"), ("y", "(1,)")][column]
    assert (
        f'example {at} of the dataset "points" has {TOLD[odd]} in column {column} ("{name}"), '
        "where the others have float32 tensors"
    ) in told
    if odd != "double" or column:  # the others have this shape, and so has the odd one
        assert f"where the others have float32 tensors of shape {shape}" in told


def test_a_whole_example(tmp_path: Path) -> None:
    start = 'example 9 of the dataset "points"'
    others = "where the others have 2 columns"
    for size in (4, 3, 1):
        loader = {"batch_size": size}
        told = refused(tmp_path / f"whole {size}", config_of(rows("whole"), loader=loader))
        assert f"{start} is None, {others}" in told
        config = config_of(rows("one column more"), loader=loader)
        told = refused(tmp_path / f"more {size}", config)
        assert f"{start} has 3 columns, {others}" in told
        config = config_of(rows("lacking", kind="Named"), loader=loader)
        told = refused(tmp_path / f"lacking {size}", config)
        assert f'{start} lacks the key "y", which the others have' in told


def test_of_dicts(tmp_path: Path) -> None:
    told = refused(tmp_path, config_of(rows("None", 1, kind="Named")))
    assert 'example 9 of the dataset "points" has None in "y", where the others have' in told


@pytest.mark.parametrize("workers", [0, 2])
@pytest.mark.parametrize("odd", ["None", "longer"])
def test_whatever_stands_in_between(tmp_path: Path, odd: str, workers: int) -> None:
    """Preprocessors, slices, merged datasets, collators, transforms, in workers or not."""
    more = {
        "doubled": ("preprocessors", {"class": "odd_data.Doubled"}),
        "slices": ("splits", {"dataset_name": "points", "ratio": [0.5, 0.5]}),
        "whole": ("datasets", {"merge": ["slices[1]", "slices[0]"]}),
        "ready": ("datasets", {"link": "whole", "preprocessors": ["doubled", None]}),
        "stacked": ("collators", {"class": "odd_data.Stacked"}),
        "tensors": ("collators", {"class": "StackTensors"}),
    }
    start = f'has {TOLD[odd]} in column 0 ("x"), where the others have float32 tensors of shape'
    for name, over, factory in (
        ("preprocessor", "ready", {}),
        ("collator", "whole", {"collator": "stacked"}),
        ("tensors", "whole", {"collator": "tensors"}),
        ("augment", "whole", {"augment": {"class": "toys.Wobble"}}),
    ):
        config = config_of(
            rows(odd), over, loader={"num_workers": workers}, factory=factory, **more
        )
        told = refused(tmp_path / name, config)
        assert 'example 9 of the dataset "points" (' in told
        assert f'of "{over}") {start}' in told


def test_texts_and_what_is_learnt_of_them(tmp_path: Path) -> None:
    told = refused(tmp_path, config_of(rows(kind="Texts"), net={"class": "odd_data.Reading"}))
    assert 'example 9 of the dataset "points" has None in column 0 ("x"), where the' in told
    more = {
        "words": ("preprocessors", {"class": "TextTokenizer", "fit": "points"}),
        "ready": ("datasets", {"link": "points", "preprocessors": ["words", None]}),
    }
    told = refused(tmp_path / "fit", config_of(rows(kind="Texts"), "ready", **more))
    assert 'example 9 of the dataset "points" has None in column 0, where the others' in told


@pytest.mark.parametrize("size", [4, 1])
@pytest.mark.parametrize("odd", ["None", "longer", "text"])
def test_streams(tmp_path: Path, odd: str, size: int) -> None:
    data = rows(odd, 9, kind="StreamOfRows")
    told = refused(tmp_path, config_of(data, loader={"batch_size": size, "shuffle": None}))
    assert f"has {TOLD[odd]} in " in told
    assert "where the others have float32 tensors of shape (2,)" in told


@pytest.mark.parametrize("cache", ["memory", None])
def test_what_the_dataset_raises_is_the_users_with_the_index(
    tmp_path: Path, cache: str | None
) -> None:
    config = config_of({**rows("raises"), "cache": cache})
    with pytest.raises(UserCodeError, match=r'example 9|dataset "points", at example 9') as caught:
        torchassistant.create_session(config, tmp_path / "run").train()
    assert isinstance(caught.value.__cause__, LookupError)


def test_columns_of_mixed_kinds_go_on_working(tmp_path: Path) -> None:
    config = config_of(rows("None", 0, -1, kind="Remarks"), columns=("x", "y", "note", "counts"))
    session = torchassistant.create_session(config, tmp_path / "run")
    session.train()
    assert session.finished


def test_another_shape_that_fits_is_nobodys_fault(tmp_path: Path) -> None:
    config = config_of(rows("longer"), loader={"batch_size": 1}, net={"class": "odd_data.Pooling"})
    session = torchassistant.create_session(config, tmp_path / "run")
    session.train()
    assert session.finished


def test_a_mistake_of_the_model_stays_one(tmp_path: Path) -> None:
    config = config_of(rows("None", 0, -1), net={"class": "odd_data.Unlucky"})
    with pytest.raises(UserCodeError, match='the node "net"'):
        torchassistant.create_session(config, tmp_path / "run")
    data = rows("None", 0, -1, kind="Remarks")
    columns = ("x", "y", "note", "counts")
    config = config_of(data, columns=columns, net={"class": "odd_data.Unlucky"})
    with pytest.raises(UserCodeError, match='the node "net"'):
        torchassistant.create_session(config, tmp_path / "run")


def test_from_the_command_line(tmp_path: Path, command: Command) -> None:
    config = config_of(rows("None"), loader={"num_workers": 2})
    write(tmp_path / "config.json", config)
    assert command("init.py", "config.json", "--trust", "odd_data").returncode == 0
    done = command("train.py", "run", "--trust", "odd_data")
    assert done.returncode == 2
    assert done.stderr.startswith('error: example 9 of the dataset "points" has None in column 0')
    assert len(done.stderr.splitlines()) == 1


def test_a_validation_reads_a_stream_to_its_end(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    losses = []
    for claimed in (4, 11, 40):
        data = rows("None", -1, claimed, kind="StreamOfRows")
        config = config_of(data, loader={"shuffle": None})
        session = torchassistant.create_session(config, tmp_path / str(claimed))
        session.train()
        losses.append(session.history["val loss"].tolist())
        assert capsys.readouterr().err.count("warning") == (claimed != 11)
    assert losses[0] == losses[1] == losses[2]


def test_what_torch_refuses_is_told_of_its_batch(tmp_path: Path, command: Command) -> None:
    """A class that there is none of is a number like the others, and no code of the user raised."""
    config = config_of(
        rows("class", 1, 9, kind="Classes"),
        net={"class": "torch.nn.Linear", "args": [2, 3]},
        mse={"class": "CrossEntropyLoss", "inputs": ["y_hat", "y"]},
    )
    write(tmp_path / "config.json", config)
    assert command("init.py", "config.json", "--trust", "odd_data").returncode == 0
    done = command("train.py", "run", "--trust", "odd_data")
    assert done.returncode == 2
    assert (
        'error: the loss "mse", for the examples 8, 9, 10 of the dataset "points": IndexError: '
        "Target 7 is out of bounds." in done.stderr
    )
    assert "Traceback" not in done.stderr
