"""A session from Python: created, loaded, trained, evaluated, asked."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import toys
from toy_config import files_of, toy_config

import torchassistant
from tests.call_depths import most_faults
from torchassistant.errors import (
    ConfigError,
    DataError,
    Interrupted,
    SessionError,
    UserCodeError,
)
from torchassistant.training import Reporter, StopRequest


def weights(session: Any) -> dict[str, torch.Tensor]:
    return {k: v.clone() for k, v in session.models["net"].state_dict().items()}


def same(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> bool:
    return one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)


def test_the_folder_is_as_the_contract_says(tmp_path: Path) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    session.train()
    names = set(files_of(tmp_path / "run"))
    last = f"checkpoints/{session.progress.step:010d}"
    assert {"spec.json", "environment.json", "metrics/0.csv"} <= names
    assert {
        f"{last}/models/net.safetensors",
        f"{last}/state.json",
        f"{last}/manifest.json",
    } <= names
    assert {"static/splits/parts.safetensors"} <= names
    assert {Path(name).suffix for name in names} == {".json", ".csv", ".safetensors"}
    assert len(list((tmp_path / "run" / "checkpoints").iterdir())) == 3
    environment = json.loads((tmp_path / "run" / "environment.json").read_text())
    assert environment["seed"] == 5
    assert environment["packages"]["torch"] == torch.__version__.split("+")[0]
    header = (tmp_path / "run" / "metrics" / "0.csv").read_text().splitlines()[0]
    assert header == "epoch,step,loss,val loss,seconds"


def test_the_config_is_stored_complete(tmp_path: Path) -> None:
    config = toy_config()
    del config["seed"]
    session = torchassistant.create_session(config, tmp_path / "run")
    stored = json.loads((tmp_path / "run" / "spec.json").read_text())
    assert stored["seed"] == session.seed
    assert stored["initialize"]["pipelines"]["fit"]["graph"] == "default_graph"
    again = torchassistant.create_session(stored, tmp_path / "again")
    assert same(weights(again), weights(session))


def test_parts_are_mappings_by_name(tmp_path: Path) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    assert isinstance(session.models["net"], toys.Net)
    assert isinstance(session.optimizers["adam"], torch.optim.Adam)
    assert len(session.splits["parts"].train) == 30
    assert set(session.pipelines) == {"fit", "check"}
    assert len(session.stages) == 1
    assert (session.progress.epoch, session.finished) == (0, False)
    assert len(session.history) == 0
    session.train()
    assert (session.progress.epoch, session.progress.step, session.finished) == (3, 12, True)
    assert session.history["epoch"].tolist() == [1, 2, 3]


def test_an_existing_session_is_refused(tmp_path: Path) -> None:
    torchassistant.create_session(toy_config(), tmp_path / "run")
    before = files_of(tmp_path)
    with pytest.raises(SessionError, match="exists already"):
        torchassistant.create_session(toy_config(), tmp_path / "run")
    assert files_of(tmp_path) == before
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "thesis.txt").write_text("")
    with pytest.raises(SessionError, match="is not a session"):
        torchassistant.create_session(toy_config(), tmp_path / "other")
    (tmp_path / "empty").mkdir()
    torchassistant.create_session(toy_config(), tmp_path / "empty")


@pytest.mark.parametrize(
    ("changes", "error", "sentence"),
    [
        ({"points": {"class": "toys.Pionts"}}, ConfigError, 'did you mean "Points"'),
        ({"points": {"class": "tois.Points"}}, ConfigError, 'no module "tois"'),
        (
            {"net": {"class": "toys.Net", "kwargs": {"size": 1}}},
            ConfigError,
            'Net has no argument "size"',
        ),
        ({"net": {"class": "toys.Points"}}, ConfigError, "is not a torch.nn.Module"),
        (
            {"net": {"class": "toys.Net", "args": [{"class": "toys.Net", "arg": []}]}},
            ConfigError,
            'unknown key "arg"; did you mean "args"',
        ),
        (
            {"net": {"class": "toys.Net", "args": [{"class": "toys.Nett"}]}},
            ConfigError,
            'did you mean "Net"',
        ),
        ({"adam": {"class": "Adm", "model": "net"}}, ConfigError, 'did you mean "Adam"'),
        (
            {"adam": {"class": "Adam", "model": "net", "kwargs": {"lr": -1.0}}},
            ConfigError,
            "Invalid learning rate",
        ),
        (
            {"parts": {"dataset_name": "points", "ratio": [0.99, 0.005, 0.005]}},
            ConfigError,
            "leave a slice empty",
        ),
        (
            {"training": {"dataset": "parts.train", "kwargs": {"batch_sise": 8}}},
            ConfigError,
            "batch_sise",
        ),
        (
            {"net": {"factory_fn": "toys.build_net", "kwargs": {"dropout": "much"}}},
            UserCodeError,
            'building the model "net"',
        ),
    ],
)
def test_a_failure_leaves_nothing_behind(
    tmp_path: Path, changes: dict[str, Any], error: type[Exception], sentence: str
) -> None:
    with pytest.raises(error, match=sentence):
        torchassistant.create_session(toy_config(**changes), tmp_path / "deep" / "run")
    assert list(tmp_path.iterdir()) == []


def test_creating_and_evaluating_draw_no_random_numbers_of_the_caller(tmp_path: Path) -> None:
    before = torch.get_rng_state()
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    session.evaluate()
    assert torch.equal(torch.get_rng_state(), before)


def test_a_definition_more_changes_no_other(tmp_path: Path) -> None:
    one = torchassistant.create_session(toy_config(), tmp_path / "one")
    other = ("models", {"class": "toys.Net"})
    two = torchassistant.create_session(toy_config(**{"before": other}), tmp_path / "two")
    assert same(weights(one), weights(two))
    assert torch.equal(one.splits["parts"].indices[0], two.splits["parts"].indices[0])


class StopAfter(Reporter):
    """Asks for a stop in the middle of an epoch."""

    def __init__(self, stop: StopRequest, iterations: int) -> None:
        self.stop = stop
        self.left = iterations

    def iteration_done(self, live: Any) -> None:
        self.left -= 1
        if self.left == 0:
            self.stop.signum = 2


@pytest.mark.parametrize("workers", [0, 2])
def test_interrupted_and_resumed_is_uninterrupted(tmp_path: Path, workers: int) -> None:
    config = toy_config(
        points={"class": "toys.Jittered"},
        net={"class": "toys.Net", "kwargs": {"dropout": 0.5}},
        training={
            "dataset": "parts.train",
            "kwargs": {"batch_size": 8, "num_workers": workers},
        },
    )
    whole = torchassistant.create_session(config, tmp_path / "whole")
    whole.train()
    torchassistant.create_session(config, tmp_path / "cut")
    for iterations in (2, 6):
        stop = StopRequest()
        with pytest.raises(Interrupted, match=r"resumes from there"):
            torchassistant.load_session(tmp_path / "cut").train(StopAfter(stop, iterations), stop)
    resumed = torchassistant.load_session(tmp_path / "cut")
    assert resumed.progress.epoch == 1
    resumed.train()
    assert same(weights(resumed), weights(whole))
    assert resumed.history.drop(columns="seconds").equals(whole.history.drop(columns="seconds"))
    last = sorted((tmp_path / "cut" / "checkpoints").iterdir())[-1]
    for name, content in files_of(last).items():
        if name != "manifest.json":
            assert (tmp_path / "whole" / "checkpoints" / last.name / name).read_bytes() == content


def test_a_damaged_checkpoint_is_named_and_an_older_one_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    session.train()
    checkpoints = sorted((tmp_path / "run" / "checkpoints").iterdir())
    path = checkpoints[-1] / "models" / "net.safetensors"
    path.write_bytes(path.read_bytes()[:-4] + b"\0\0\0\0")
    resumed = torchassistant.load_session(tmp_path / "run")
    assert resumed.progress.epoch == 2
    assert "net.safetensors is not what was written" in capsys.readouterr().err
    resumed.train()
    assert same(weights(resumed), weights(session))
    for checkpoint in sorted((tmp_path / "run" / "checkpoints").iterdir()):
        (checkpoint / "manifest.json").unlink()
    with pytest.raises(SessionError, match=r"manifest\.json is missing"):
        torchassistant.load_session(tmp_path / "run")


def test_what_is_fitted_sees_its_slice_only_and_stands(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = toy_config(
        points={"class": "toys.Words"},
        sizes=("preprocessors", {"class": "toys.Sizes", "fit": "parts.train"}),
        prepared=("datasets", {"link": "parts.train", "preprocessors": ["sizes"]}),
        training={"dataset": "prepared"},
    )
    session = torchassistant.create_session(config, tmp_path / "run", preflight=False)
    words = toys.Words()
    expected = [words.texts[i] for i in session.splits["parts"].indices[0].tolist()]
    assert session.preprocessors["sizes"].seen == expected
    state = tmp_path / "run" / "static" / "preprocessors" / "sizes.json"
    monkeypatch.setattr(toys.Sizes, "fit", lambda self, dataset: pytest.fail("fitted again"))
    again = torchassistant.load_session(tmp_path / "run")
    assert again.preprocessors["sizes"].seen == expected
    assert torch.equal(again.splits["parts"].indices[1], session.splits["parts"].indices[1])
    state.write_text(state.read_text().replace(json.dumps(expected[0]), '"other"'))
    with pytest.raises(SessionError, match=r"sizes\.json (has|is not what was written)"):
        torchassistant.load_session(tmp_path / "run")


def test_a_dataset_of_another_length_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torchassistant.create_session(toy_config(), tmp_path / "run")
    monkeypatch.setattr(toys.Points, "__len__", lambda self: 39)
    with pytest.raises(DataError, match=r"drawn over 40 examples; .* has 39 now"):
        torchassistant.load_session(tmp_path / "run")


def test_a_model_of_another_shape_is_refused(tmp_path: Path) -> None:
    torchassistant.create_session(toy_config(), tmp_path / "run")
    with pytest.raises(SessionError, match=r'the model "net" .* size mismatch for layers\.0'):
        torchassistant.load_session(
            tmp_path / "run", settings=["net.kwargs.hidden=9"], accept_changes=True
        )


def test_a_factory_sees_what_is_written_above_it(tmp_path: Path) -> None:
    config = toy_config(net={"factory_fn": "toys.build_net"})
    session = torchassistant.create_session(config, tmp_path / "run")
    assert session.models["net"].layers[0].out_features == 4


def test_definitions_may_stand_in_any_order(tmp_path: Path) -> None:
    config = toy_config()
    config["initialize"]["definitions"].reverse()
    one = torchassistant.create_session(config, tmp_path / "one")
    two = torchassistant.create_session(toy_config(), tmp_path / "two")
    one.train()
    two.train()
    assert same(weights(one), weights(two))


def test_hooks(tmp_path: Path) -> None:
    config = toy_config(
        gradients=("backward_hooks", {"model": "net", "factory_fn": "toys.count_gradients"}),
        outputs=("forward_hooks", {"model": "net", "factory_fn": "toys.count_outputs"}),
    )
    session = torchassistant.create_session(config, tmp_path / "run")
    toys.CALLS.clear()
    session.train()
    assert toys.CALLS.count("backward layers.0.weight") == 12
    assert toys.CALLS.count("forward layers.3") == 12 + 3 * 2
    assert toys.CALLS.count("forward ") == 12 + 3 * 2


@pytest.mark.parametrize("form", ["inline", "named"])
def test_debug_pipelines(tmp_path: Path, form: str) -> None:
    config = toy_config(net={"class": "toys.Net", "kwargs": {"dropout": 0.5}})
    plain = torchassistant.create_session(config, tmp_path / "plain")
    plain.train()
    debug = {
        "input_factories": [{"variable_names": ["x", "y"], "loader_factory": "checking"}],
        "num_iterations": 2,
        "interval": 4,
        "output_keys": ["y_hat", "y"],
        "postprocessor": {"class": "torchassistant.output_adapters.SelectVariables"},
        "output_device": {"class": "toys.Recorder"},
    }
    debug["postprocessor"]["args"] = [["y_hat"]]
    if form == "named":
        config["initialize"]["debug_pipelines"] = {"look": debug}
    config["train"]["stages"][0]["debug_pipelines"] = ["look"] if form == "named" else [debug]
    toys.Recorder.got.clear()
    session = torchassistant.create_session(config, tmp_path / "run")
    session.train()
    assert len(toys.Recorder.got) == (12 // 4) * 2
    assert all(set(data) == {"y_hat"} for data in toys.Recorder.got)
    assert not toys.Recorder.got[0]["y_hat"].requires_grad
    assert same(weights(session), weights(plain))


def test_evaluate_repeats_the_last_row(tmp_path: Path) -> None:
    session = torchassistant.create_session(toy_config(), tmp_path / "run")
    session.train()
    row = session.history.iloc[-1]
    again = torchassistant.load_session(tmp_path / "run")
    assert again.evaluate() == {"val loss": row["val loss"]}
    both = again.evaluate(["fit", "check"], eval_steps={"fit": 1})
    assert set(both) == {"loss", "val loss"}
    with pytest.raises(ConfigError, match='did you mean "check"'):
        again.evaluate(["chek"])


def test_infer(tmp_path: Path) -> None:
    config = toy_config(net={"class": "toys.Inferring"})
    session = torchassistant.create_session(config, tmp_path / "run")
    meta = [{"input_converter": {"class": "toys.NumberToRow"}}]
    one, two = session.infer("1,2", "3,4", inputs_meta=meta)
    assert one["y_hat"].tolist() == two["y_hat"].tolist() == [[7.0]]
    finish = {"class": "toys.Rounded", "kwargs": {"digits": 1}}
    assert session.infer("1,2", inputs_meta=meta, post_processor=finish) == ["['net'] [7.0]"]
    with pytest.raises(DataError, match='no column "z"'):
        session.infer("1,2", inputs_meta=meta, results=["z"])
    with pytest.raises(DataError, match="found 0 inputs"):
        session.infer(inputs_meta=meta)


def test_the_users_code_is_blamed_with_its_place(tmp_path: Path) -> None:
    session = torchassistant.create_session(
        toy_config(net={"class": "toys.Raising"}), tmp_path / "one", preflight=False
    )
    with pytest.raises(UserCodeError, match='the node "net" of "processor", in the pipeline "fit"'):
        session.train()
    for workers in (0, 1):
        config = toy_config(
            points={"class": "toys.Broken"},
            training={
                "dataset": "points",
                "kwargs": {"num_workers": workers, "shuffle": False},
            },
        )
        where = tmp_path / f"workers {workers}"
        session = torchassistant.create_session(config, where, preflight=False)
        with pytest.raises(UserCodeError, match='the data of the loader factory "training"'):
            session.train()


@pytest.mark.parametrize("chosen", [None, ["x", "y"]])
def test_datasets_of_dicts_keep_their_names(tmp_path: Path, chosen: list[str] | None) -> None:
    config = toy_config(points={"class": "toys.Records"})
    for spec in config["initialize"]["pipelines"].values():
        (item,) = spec["input_factories"]
        del item["variable_names"]
        if chosen:
            item["variable_names"] = chosen
    session = torchassistant.create_session(config, tmp_path / "named")
    session.train()
    plain = torchassistant.create_session(toy_config(), tmp_path / "plain")
    plain.train()
    assert same(weights(session), weights(plain))


def test_an_epoch_without_a_batch_is_an_error(tmp_path: Path) -> None:
    kwargs = {"batch_size": 64, "drop_last": True}
    config = toy_config(training={"dataset": "parts.train", "kwargs": kwargs})
    session = torchassistant.create_session(config, tmp_path / "training", preflight=False)
    with pytest.raises(DataError, match='"fit" give no batch'):
        session.train()
    config = toy_config(checking={"dataset": "parts.val", "kwargs": kwargs})
    session = torchassistant.create_session(config, tmp_path / "checking", preflight=False)
    with pytest.raises(DataError, match='"check" give no batch'):
        session.train()


def test_a_dataset_may_give_whole_batches(tmp_path: Path) -> None:
    config = toy_config(training={"dataset": "points", "kwargs": {"batch_size": None}})
    session = torchassistant.create_session(config, tmp_path / "run")
    session.train()
    assert session.progress.step == 3 * 40


def test_short_names_of_metrics(tmp_path: Path) -> None:
    """With arguments, Accuracy is that of torchmetrics; short names are found anywhere there."""
    flags = {"inputs": ["y_hat", "y"], "transform": "toys.signs"}
    config = toy_config(
        share=("metrics", {"class": "Accuracy", **flags}),
        binary=("metrics", {"class": "Accuracy", "kwargs": {"task": "binary"}, **flags}),
        kappa=("metrics", {"class": "BinaryCohenKappa", **flags}),
        function=("metrics", {"class": "toys.share_of_positives", "inputs": ["y_hat"]}),
    )
    names = ["share", "binary", "kappa", "function"]
    metrics = [{"metric_name": name} for name in names]
    config["initialize"]["pipelines"]["check"]["metrics"] = metrics
    session = torchassistant.create_session(config, tmp_path / "run")
    result = session.evaluate()
    assert list(result) == ["val loss", *names]
    assert result["share"] == pytest.approx(result["binary"])
    x = torch.stack([session.splits["parts"].val[i][0] for i in range(10)])
    positive = session.models["net"](x) > 0
    assert result["function"] == pytest.approx(positive.float().mean().item())


def test_weights_put_in_from_python_survive_an_interruption(tmp_path: Path) -> None:
    def with_ones(name: str) -> Any:
        session = torchassistant.create_session(toy_config(), tmp_path / name)
        for parameter in session.models["net"].parameters():
            torch.nn.init.ones_(parameter)
        return session

    whole = with_ones("whole")
    whole.train()
    cut = with_ones("cut")
    stop = StopRequest()
    with pytest.raises(Interrupted):
        cut.train(StopAfter(stop, 2), stop)
    cut.train()
    assert same(weights(cut), weights(whole))


def test_a_named_collator_sees_whole_batches_too(tmp_path: Path) -> None:
    config = toy_config(
        own=("collators", {"class": "toys.doubled"}),
        training={"dataset": "points", "collator": "own", "kwargs": {"batch_size": None}},
    )
    session = torchassistant.create_session(config, tmp_path / "run")
    frames = next(session.pipelines["fit"].evaluation_data().frames(0))
    assert torch.equal(frames["input"]["x"], 2 * toys.Points().x[0])


def test_a_function_may_be_a_loss(tmp_path: Path) -> None:
    function = {"class": "torch.nn.functional.mse_loss", "inputs": ["y_hat", "y"]}
    one = torchassistant.create_session(toy_config(mse=function), tmp_path / "one")
    one.train()
    two = torchassistant.create_session(toy_config(), tmp_path / "two")
    two.train()
    assert same(weights(one), weights(two))


def test_training_leaves_the_first_checkpoint_alone(tmp_path: Path) -> None:
    config = {**toy_config(), "checkpoints": {"keep_last": 10}}
    session = torchassistant.create_session(config, tmp_path / "run")
    manifest = tmp_path / "run" / "checkpoints" / "0000000000" / "manifest.json"
    written = manifest.stat().st_ino, manifest.stat().st_mtime_ns
    session.train()
    assert len(list(manifest.parents[1].iterdir())) == 4
    assert (manifest.stat().st_ino, manifest.stat().st_mtime_ns) == written


@pytest.mark.parametrize(
    ("interval", "part"),
    [
        ("step", 'the scheduler of the optimizer "adam", in the pipeline "fit"'),
        ("epoch", 'the scheduler of the optimizer "adam"'),
    ],
)
def test_a_scheduler_that_raises_is_named(tmp_path: Path, interval: str, part: str) -> None:
    """OneCycleLR refuses to go on after its last step."""
    scheduler = {
        "class": "OneCycleLR",
        "kwargs": {"max_lr": 0.1, "total_steps": 2},
        "interval": interval,
    }
    config = toy_config(adam={"class": "Adam", "model": "net", "lr_scheduler": scheduler})
    session = torchassistant.create_session(config, tmp_path / "run")
    with pytest.raises(DataError, match=f"^{part}: Tried to step"):
        session.train()


def test_buffers_whose_elements_share_memory(tmp_path: Path) -> None:
    config = toy_config(net={"class": "toys.Expanded"})
    session = torchassistant.create_session(config, tmp_path / "run")
    assert session.models["net"].view.tolist() == [0, 0, 0, 0]
    session.train()
    assert session.models["net"].view.tolist() == [12, 12, 12, 12]
    again = torchassistant.load_session(tmp_path / "run").models["net"]
    assert again.view.tolist() == [12, 12, 12, 12]
    again.base += 1
    assert again.view.tolist() == [13, 13, 13, 13]


class Deep(Reporter):
    """Calls functions from many depths."""

    faults = 0

    def iteration_done(self, live: Any) -> None:
        if not self.faults:
            self.faults = most_faults(depths=150)


@pytest.mark.skipif(sys.platform != "linux", reason="counts as Linux does")
def test_what_training_calls_finds_room_on_the_stack(tmp_path: Path) -> None:
    deep = Deep()
    torchassistant.create_session(toy_config(), tmp_path / "run").train(deep)
    assert deep.faults < 50
