"""State that a node carries from batch to batch: exact, resumed, and told where it cannot be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, loader, loss, made, one_model, part, stage
from exact_parts import Points
from exact_runs import Runs
from torch import Tensor
from torch.nn.functional import mse_loss

from torchassistant import create_session
from torchassistant.errors import ConfigError, DataError, UserCodeError
from torchassistant.graph.carries import detached
from torchassistant.graph.node_values import Place
from torchassistant.session import Draft
from torchassistant.training.carrying import carrying

CONTIGUOUS = {"dataset": "points", "contiguous": True, "kwargs": {"batch_size": 4}}


def remembering(
    model: str = "Memory",
    node: Config | None = None,
    factory: Config = CONTIGUOUS,
    pipeline: Config | None = None,
    *stages: Config,
    **more: Config,
) -> Config:
    """Regression with a model that remembers."""
    run = {
        "model_name": "net",
        "inputs": ["x", "state"],
        "outputs": ["y_hat", "next_state"],
        "carry": {"state": "next_state"},
        "optimizer_name": "descent",
        **(node or {}),
    }
    groups = {
        "datasets": {"points": part("Points", 22)},
        "loader_factories": {"batches": factory},
        "models": {"net": made(f"carrying_parts.{model}")},
        "batch_processors": {"run": {"neural_graph": [run]}},
    }
    return one_model(groups, *stages, pipeline=pipeline, **more)


def rows(batch_size: int = 4) -> list[tuple[Tensor, Tensor]]:
    """The batches of a contiguous loader by hand."""
    points = Points(22)
    count = 22 // batch_size
    index = torch.arange(count * batch_size).view(batch_size, count)
    return [(points.x[index[:, b]], points.y[index[:, b]]) for b in range(count)]


def train(twin: Twin, accumulated: int = 1) -> None:
    """The same by hand; the state goes on without gradient."""
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        state = net.initial_state(4) if hasattr(net, "initial_state") else None
        batches = rows()
        while batches:
            window, batches = batches[:accumulated], batches[accumulated:]
            optimizer.zero_grad()
            for x, y in window:
                y_hat, state = net(x, state)
                state = state.detach()
                (mse_loss(y_hat, y) / len(window)).backward()
            optimizer.step()


@pytest.mark.parametrize("model", ["Memory", "Learned"])
def test_a_state_is_carried_through_each_pass(tmp_path: Path, model: str) -> None:
    twin = Twin(remembering(model), tmp_path)
    train(twin)
    twin.check()


def test_a_state_is_carried_within_a_step(tmp_path: Path) -> None:
    twin = Twin(remembering(pipeline={"gradient_accumulation": 5}), tmp_path)
    train(twin, 5)
    for mine, theirs in zip(
        twin.models["net"].parameters(), twin.session.models["net"].parameters(), strict=True
    ):
        torch.testing.assert_close(mine, theirs)


TWO = {
    "inputs": {"x": "x", "state": "state", "steps": "steps"},
    "outputs": {"y": "y_hat", "state": "next_state", "steps": "next_steps"},
    "carry": {"state": "next_state", "steps": "next_steps"},
}


def test_several_states_nested_and_by_name(tmp_path: Path) -> None:
    twin = Twin(remembering("TwoStates", TWO), tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        carried = net.initial_state(4)
        for x, y in rows():
            optimizer.zero_grad()
            result = net(x, **carried)
            mse_loss(result["y"], y).backward()
            optimizer.step()
            carried = {"state": result["state"].detach(), "steps": result["steps"]}
    twin.check()


def test_each_call_of_a_closure_begins_with_the_same_state(tmp_path: Path) -> None:
    config = remembering()
    for definition in config["initialize"]["definitions"]:
        if definition["group"] == "optimizers":
            definition["spec"] = {**made("LBFGS", lr=0.1, max_iter=3), "model": "net"}
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    optimizer = torch.optim.LBFGS(net.parameters(), lr=0.1, max_iter=3)
    for _ in range(2):
        state = None
        for x, y in rows():
            after: list[Tensor] = []

            def closure(x: Tensor = x, y: Tensor = y, state: Any = state, kept: Any = after) -> Any:
                optimizer.zero_grad()
                y_hat, next_state = net(x, state)
                kept.append(next_state.detach())
                error = mse_loss(y_hat, y)
                error.backward()
                return error

            optimizer.step(closure)
            state = after[0]
    twin.check()
    Runs(config, tmp_path / "runs").check_cuts([2])


CASES = {
    "a tensor": remembering(),
    "several": remembering("TwoStates", TWO),
    "accumulated": remembering(pipeline={"gradient_accumulation": 2}),
    "in turns": remembering(
        "Memory",
        None,
        CONTIGUOUS,
        None,
        stage({"pipeline": "fit", "repeat": 2}, epoch_length=4),  # type: ignore[arg-type]
    ),
}


@pytest.mark.parametrize("case", CASES.values(), ids=list(CASES))
def test_a_run_that_carries_can_be_cut(tmp_path: Path, case: Config) -> None:
    runs = Runs(case, tmp_path)
    runs.check_cuts(range(1, min(5, runs.steps + 1)))


def test_a_state_follows_passes_and_not_epochs(tmp_path: Path) -> None:
    twin = Twin(CASES["in turns"], tmp_path)
    net, state = twin.models["net"], None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for step in range(16):  # two epochs of four iterations of two steps; a pass has five batches
        x, y = rows()[step % 5]
        state = None if step % 5 == 0 else state
        optimizer.zero_grad()
        y_hat, state = net(x, state)
        state = state.detach()
        mse_loss(y_hat, y).backward()
        optimizer.step()
    twin.check()


@pytest.mark.parametrize("where", ["node", "processor", "pipeline"])
def test_compiled_models_carry(tmp_path: Path, where: str) -> None:
    compiled = {"compile": {"backend": "eager"}}
    config = remembering(
        node=compiled if where == "node" else None,
        pipeline=compiled if where == "pipeline" else None,
    )
    if where == "processor":
        for definition in config["initialize"]["definitions"]:
            if definition["group"] == "batch_processors":
                definition["spec"] |= compiled
    twin = Twin(config, tmp_path)
    train(twin)
    twin.check()


def test_validation_has_a_state_of_its_own(tmp_path: Path) -> None:
    check = {
        "input_factories": [{"loader_factory": "val", "variable_names": ["x", "y"]}],
        "losses": [loss("error", loss_display_name="val error")],
    }
    config = remembering(
        "Memory", None, CONTIGUOUS, None, stage("fit", validation=["check"]), check=check
    )
    config["initialize"]["definitions"].append(
        {
            "group": "loader_factories",
            "name": "val",
            "spec": {"dataset": "points", "contiguous": True, "kwargs": {"batch_size": 2}},
        }
    )
    twin = Twin(config, tmp_path)
    train(twin)
    twin.check()
    results = twin.session.evaluate(["check"])
    net, state, losses = twin.session.models["net"].eval(), None, []
    with torch.no_grad():
        for x, y in rows(2):
            y_hat, state = net(x, state)
            losses.append(float(mse_loss(y_hat, y)))
    assert results["val error"] == pytest.approx(sum(losses) / len(losses))


def test_a_batch_that_is_left_out_leaves_the_state_as_it_was(tmp_path: Path) -> None:
    config = remembering()
    config["on_nonfinite"] = "skip"
    session = create_session(config, session_dir=tmp_path / "session")
    points = session.datasets["points"]
    points.y[1] = float("nan")
    session.train()
    net, state = Twin(remembering(), tmp_path / "twin").models["net"], None
    optimizer = torch.optim.SGD(net.parameters(), lr=0.05)
    for _ in range(2):
        state = None
        for number, (x, y) in enumerate(rows()):
            if number == 1:
                continue
            optimizer.zero_grad()
            y_hat, state = net(x, state)
            state = state.detach()
            mse_loss(y_hat, y).backward()
            optimizer.step()
    for mine, theirs in zip(net.parameters(), session.models["net"].parameters(), strict=True):
        assert torch.equal(mine, theirs)


def test_a_batch_of_another_size_is_told(tmp_path: Path) -> None:
    session = create_session(
        remembering(factory=loader("points")), session_dir=tmp_path / "session"
    )
    sentence = 'carries a state on from a batch of 4 examples, and this batch has 2; with "contig'
    with pytest.raises(DataError, match=sentence):
        session.train()


def problems_of(config: Config) -> list[str]:
    with pytest.raises(ConfigError) as caught:
        Draft(config).preflight()
    return [f"{problem.place.path}: {problem.message}" for problem in caught.value.problems]


def test_wrong_carries_are_told() -> None:
    (told,) = problems_of(remembering(node={"carry": {"state": "next_stat"}}))
    assert told.endswith(
        'neural_graph[0].carry.state: no node of this processor gives "next_stat"; did you mean '
        '"next_state"?'
    )
    told = " ".join(problems_of(remembering(node={"carry": {"stat": "next_state"}})))
    assert 'the node "net" has no input "stat"; did you mean "state"?' in told
    (told,) = problems_of(remembering(node={"inputs": ["y", "x"], "carry": {"x": "next_state"}}))
    assert "is carried from the batch before, and is there already" in told
    (told,) = problems_of(remembering("Refusing"))
    assert '"next_state", which the node "net" of "run" carries on, holds object' in told


@pytest.mark.parametrize(
    ("kwargs", "sentence"),
    [
        ({"shuffle": True}, '"shuffle" cannot be combined with "contiguous"'),
        ({"drop_last": False}, '"contiguous" leaves out what is no whole batch'),
        ({"batch_size": None}, '"contiguous" is for batches, and "batch_size" is null'),
        (
            {"sampler": {"class": "torch.utils.data.SequentialSampler", "args": [[1, 2]]}},
            '"sampler" cannot be combined with "contiguous"',
        ),
    ],
)
def test_what_does_not_go_with_contiguous_is_told(kwargs: Config, sentence: str) -> None:
    factory = {"dataset": "points", "contiguous": True, "kwargs": {"batch_size": 4, **kwargs}}
    assert any(sentence in told for told in problems_of(remembering(factory=factory)))


def test_a_model_that_cannot_take_what_it_carries_is_told() -> None:
    with pytest.raises(UserCodeError, match='the node "net" of "run", in the pipeline "fit"'):
        Draft(remembering("Growing")).preflight()


def test_a_carry_over_shuffled_batches_is_warned_of() -> None:
    shuffled = {"dataset": "points", "kwargs": {"batch_size": 4, "drop_last": True}}
    (warning,) = Draft(remembering(factory=shuffled)).preflight().warnings
    assert 'the batches of "batches" are shuffled, and state is carried' in warning.message
    assert not Draft(remembering()).preflight().warnings


def test_a_step_of_ones_own_that_carries_nothing_is_warned_of() -> None:
    own = {"class": "carrying_parts.OwnStep", "losses": ["error"]}
    config = remembering(pipeline={"train_step": own})
    config["initialize"]["pipelines"]["fit"].pop("losses")
    warnings = [warning.message for warning in Draft(config).warnings]
    assert any('what the node "net" carries from batch to batch is not' in w for w in warnings)


def test_the_table_of_init_shows_carries() -> None:
    report = Draft(remembering()).preflight()
    assert report.nodes[0].inputs == ["x (4, 4) float32", "state carried from next_state NoneType"]


def test_a_graph_that_carries_nothing_runs_as_ever(tmp_path: Path) -> None:
    session = create_session(one_model(), session_dir=tmp_path / "session")

    def run(frames: Any) -> Any:
        return frames

    assert carrying(session.pipelines["fit"].graph, run) is run


def test_what_is_carried_is_a_copy() -> None:
    tensor = torch.ones(2, requires_grad=True)
    (copy,) = detached((tensor,), "state", Place("run", "net"))
    assert not copy.requires_grad
    assert copy.data_ptr() != tensor.data_ptr()
