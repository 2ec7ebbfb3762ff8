"""Steps that the user writes train and evaluate as his loop does, and resume to the bit."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, batches_of, feed, loader, loss, made, node, part, stage
from exact_configs import config as whole_config
from exact_parts import Real
from exact_runs import Runs
from step_parts import Images
from torch import nn
from torch.nn.functional import cross_entropy
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from torchassistant import create_session, load_session
from torchassistant.errors import ConfigError, DataError, UserCodeError
from torchassistant.session import Draft
from torchassistant.training import NotFinite

AMP = made("step_parts.AMPStep", accumulate=3)


def amp(
    step: Config | None = AMP, nan_from: int | None = None, epochs: int = 3, **fit: Any
) -> Config:
    """Mixed precision and accumulation by hand; clippers and schedulers by ``event.step``."""
    groups = {
        "datasets": {
            "images": made("step_parts.Images", 14, nan_from=nan_from),
            "others": made("step_parts.Images", 9, seed=1),
        },
        "loader_factories": {"batches": loader("images"), "held_out": loader("others")},
        "models": {"net": made("step_parts.SmallNet")},
        "optimizers": {
            "sgd": {
                **made("SGD", lr=0.1, momentum=0.9),
                "model": "net",
                "lr_scheduler": {"class": "StepLR", "args": [1, 0.9], "interval": "step"},
            }
        },
        "losses": {"entropy": {**made("CrossEntropyLoss"), "inputs": ["scores", "target"]}},
        "metrics": {"accuracy": {**made("Accuracy"), "inputs": ["prediction", "target"]}},
        "gradient_clippers": {"short": {"model": "net", "clip_norm": 0.7}},
        "batch_processors": {"run": {"neural_graph": [node("net", "images", "scores", "sgd")]}},
    }
    pipelines = {
        "fit": {
            "input_factories": [feed("batches", "images target")],
            "losses": [loss("entropy", loss_display_name="loss")],
            **({} if step is None else {"train_step": step}),
            **fit,
        },
        "check": {
            "input_factories": [feed("held_out", "images target")],
            "losses": [loss("entropy", loss_display_name="val")],
            "metrics": [{"metric_name": "accuracy"}],
            "eval_step": made("step_parts.ValStep"),
        },
    }
    return whole_config(groups, pipelines, stage("fit", epochs=epochs, validation=["check"]))


def test_a_step_that_adds_gradients_up(tmp_path: Path) -> None:
    twin = Twin(amp(), tmp_path)
    net = twin.models["net"]
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1, 0.9)
    seen, history = 0, []
    for _ in range(3):
        net.train()
        total = 0.0
        for images, target in batches_of(Images(14)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = cross_entropy(net(images), target)
            (value / 3).backward()
            seen += 1
            if seen % 3 == 0:
                nn.utils.clip_grad_norm_(net.parameters(), 0.7)
                sgd.step()
                scheduler.step()
                sgd.zero_grad()
            total += value.item() * len(images)
        net.eval()
        val, right = 0.0, 0
        with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
            for images, target in batches_of(Images(9, seed=1)):
                scores = net(images)
                val += cross_entropy(scores, target).item() * len(images)
                right += int((scores.argmax(1) == target).sum())
        history.append([total / 14, val / 9, right / 9])
    twin.check()
    shown = twin.session.history[["loss", "val", "accuracy"]].to_numpy()
    assert shown == pytest.approx(torch.tensor(history, dtype=torch.float64).numpy(), rel=1e-12)


def test_gradients_that_are_added_up_go_on_from_any_iteration(tmp_path: Path) -> None:
    runs = Runs(amp(epochs=2), tmp_path)
    runs.check_cuts()
    runs.check_all_cuts_in_one()


def test_the_preflight_leaves_no_trace(tmp_path: Path) -> None:
    session = create_session(amp(), tmp_path / "run")
    assert session.pipelines["fit"].train_step.function.seen == 0
    assert all(parameter.grad is None for parameter in session.models["net"].parameters())
    assert session.optimizers["sgd"].state_dict()["state"] == {}
    without = create_session(amp(), tmp_path / "other", preflight=False)
    assert all(
        torch.equal(mine, theirs)
        for mine, theirs in zip(
            session.models["net"].state_dict().values(),
            without.models["net"].state_dict().values(),
            strict=True,
        )
    )


def test_a_session_is_evaluated_by_it(tmp_path: Path) -> None:
    session = create_session(amp(), tmp_path / "run")
    session.train()
    again = load_session(tmp_path / "run")
    (last,) = session.history.tail(1).to_dict("records")
    assert again.evaluate() == {"val": last["val"], "accuracy": last["accuracy"]}


# Several optimizers in one step


def gan(**more: Any) -> Config:
    groups = {
        "datasets": {"points": part("Real", 10)},
        "loader_factories": {"batches": loader("points")},
        "models": {
            "generator": made("torch.nn.Linear", 3, 4),
            "critic": made("torch.nn.Linear", 4, 1),
        },
        "optimizers": {
            "generator_adam": {**made("Adam", lr=0.01), "model": "generator"},
            "critic_adam": {**made("Adam", lr=0.02), "model": "critic"},
        },
        "batch_processors": {
            "run": {
                "neural_graph": [
                    node("generator", "noise", "fake", "generator_adam"),
                    node("critic", "fake", "verdict", "critic_adam"),
                ]
            }
        },
    }
    step = {**made("step_parts.gan_step"), "losses": ["critic", "generator"]}
    fit = {"input_factories": [feed("batches", "real label")], "train_step": step}
    return {**whole_config(groups, {"fit": fit}, stage("fit")), **more}


def test_both_turns_of_a_gan_in_one_step(tmp_path: Path) -> None:
    twin = Twin(gan(), tmp_path)
    generator, critic = twin.models["generator"], twin.models["critic"]
    adams = [
        torch.optim.Adam(generator.parameters(), lr=0.01),
        torch.optim.Adam(critic.parameters(), lr=0.02),
    ]
    bce = nn.functional.binary_cross_entropy_with_logits
    for _ in range(2):
        for real, _ in batches_of(Real(10)):
            ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
            fake = generator(torch.randn(len(real), 3))
            adams[1].zero_grad()
            (bce(critic(real), ones) + bce(critic(fake.detach()), zeros)).backward()
            adams[1].step()
            adams[0].zero_grad()
            bce(critic(fake), ones).backward()
            adams[0].step()
    twin.check()


def test_a_gan_in_one_step_goes_on_from_any_iteration(tmp_path: Path) -> None:
    Runs(gan(), tmp_path).check_cuts()


def test_averages_follow_the_steps_that_it_makes(tmp_path: Path) -> None:
    config = amp()
    definition = {"average_of": "net", "kind": "ema", "decay": 0.8}
    config["initialize"]["definitions"].append(
        {"group": "models", "name": "smooth", "spec": definition}
    )
    twin = Twin(config, tmp_path)
    net = twin.models["net"]
    sgd = torch.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    scheduler = torch.optim.lr_scheduler.StepLR(sgd, 1, 0.9)
    smooth = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(0.8))
    seen = 0
    for _ in range(3):
        for images, target in batches_of(Images(14)):
            with torch.autocast("cpu", dtype=torch.bfloat16):
                value = cross_entropy(net.train()(images), target)
            (value / 3).backward()
            seen += 1
            if seen % 3 == 0:
                nn.utils.clip_grad_norm_(net.parameters(), 0.7)
                sgd.step()
                smooth.update_parameters(net)
                scheduler.step()
                sgd.zero_grad()
    pairs = zip(twin.session.models["smooth"].parameters(), smooth.parameters(), strict=True)
    assert all(torch.equal(mine, theirs) for mine, theirs in pairs)


def test_fp16_scales_and_unscales(tmp_path: Path) -> None:
    """On the CPU autocast leaves these models alone: the same weights as without scaling."""
    trained = []
    for precision in ("float32", "fp16"):
        session = create_session(gan(precision=precision), tmp_path / precision)
        session.train()
        trained.append(session)
    scaler = trained[1].pipelines["fit"].scaler
    assert scaler is not None
    for name in ("generator", "critic"):
        pairs = zip(*(s.models[name].parameters() for s in trained), strict=True)
        assert all(torch.allclose(one, other, atol=1e-6) for one, other in pairs)


# What is not finite


def test_a_batch_that_is_not_finite(tmp_path: Path) -> None:
    session = create_session(amp(nan_from=4), tmp_path / "run")
    message = (
        'the loss "event.backward" is nan, in iteration 2 of the pipeline "fit": the column '
        '"images" of the batch is not finite itself; the batch has the examples 4, 5, 6, 7'
    )
    with pytest.raises(NotFinite, match=message):
        session.train()


def test_a_batch_that_is_left_out(tmp_path: Path) -> None:
    """Its gradients are not added, and running statistics and the step's own state are back."""
    step = made("step_parts.AMPStep", accumulate=2)
    session = create_session({**amp(step, nan_from=4), "on_nonfinite": "skip"}, tmp_path / "run")
    start = {k: v.clone() for k, v in session.models["net"].state_dict().items()}
    session.train()
    assert session.history["skipped"].tolist() == [1, 1, 1]
    assert session.pipelines["fit"].train_step.function.seen == 9
    state = session.models["net"].state_dict()
    assert all(bool(value.isfinite().all()) for value in state.values())
    assert int(state["norm.num_batches_tracked"]) == 9
    assert not torch.equal(start["fc.weight"], state["fc.weight"])


def test_a_loss_that_is_not_finite_after_the_step(tmp_path: Path) -> None:
    session = create_session(amp(made("step_parts.is_not_finite")), tmp_path / "run")
    with pytest.raises(NotFinite, match=r'the loss "loss" is inf.*no weight of it is stored'):
        session.train()


# What is told

REFUSED = (ConfigError, DataError)


@pytest.mark.parametrize("preflight", [True, False])
@pytest.mark.parametrize(
    ("step", "error", "message"),
    [
        ("returns_nothing", REFUSED, "must return a dict of losses"),
        ("forgets_a_loss", REFUSED, 'has returned no "loss"; did you mean "los"'),
        ("returns_many", REFUSED, "must be one number; it is a tensor \\(3,\\)"),
        ("takes_another", REFUSED, 'an optimizer of its pipeline, which has "sgd"'),
        ("raises", UserCodeError, '"train_step" of the pipeline "fit"'),
    ],
)
def test_a_step_that_fails(
    tmp_path: Path, step: str, error: Any, message: str, preflight: bool
) -> None:
    config = amp(made(f"step_parts.{step}"))
    with pytest.raises(error, match=message) as caught:
        create_session(config, tmp_path / "run", preflight=preflight).train()
    if preflight and isinstance(caught.value, ConfigError):
        (problem,) = caught.value.problems
        assert problem.place.path == "initialize.pipelines.fit.train_step"


def problem_of(config: Config) -> tuple[str, str]:
    with pytest.raises(ConfigError) as caught:
        Draft(config)
    (problem,) = caught.value.problems
    return problem.place.path, problem.message


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("gradient_accumulation", 2),
        ("compile", True),
        ("normalize_weights", True),
        ("combine", made("combining_parts.summed")),
    ],
)
def test_keys_without_effect(key: str, value: Any) -> None:
    place, message = problem_of(amp(**{key: value}))
    assert place == f"initialize.pipelines.fit.{key}"
    assert f'"{key}" has no effect beside "train_step"' in message


def test_parts_of_a_batch_that_is_cut_for_processes_already() -> None:
    """It is called once in each process; a second part would have to be there at the same time."""
    place, message = problem_of({**amp(), "distributed": {"logical_ranks": 2}})
    assert place == "distributed.logical_ranks"
    assert 'the pipeline "fit" has a "train_step"' in message
    Draft({**amp(), "distributed": {"logical_ranks": 1}})


def test_a_weight_without_effect() -> None:
    weighted = [loss("entropy", loss_display_name="loss", weight=2)]
    place, _ = problem_of(amp(losses=weighted))
    assert place == "initialize.pipelines.fit.losses[0].weight"


def test_names_of_losses() -> None:
    place, message = problem_of(amp(losses=[]))
    assert place == "initialize.pipelines.fit.train_step"
    assert '"losses" is needed' in message
    place, message = problem_of(amp({**AMP, "losses": ["loss", "loss"]}))
    assert place == "initialize.pipelines.fit.train_step.losses[1]"
    assert "shown twice" in message
    place, message = problem_of(amp({**AMP, "losses": ["epoch"]}))
    assert place == "initialize.pipelines.fit.train_step.losses[0]"
    assert "a column of the history already" in message


def test_what_listens_to_a_name_that_a_step_does_not_return() -> None:
    config = amp({**AMP, "losses": ["loss"]})
    config["checkpoints"] = {"best": {"monitor": "losss"}}
    place, message = problem_of(config)
    assert place == "checkpoints.best.monitor"
    assert '"loss"' in message


def test_what_is_no_step() -> None:
    place, _ = problem_of(amp(made("step_parts.AMPStap")))
    assert place == "initialize.pipelines.fit.train_step.class"
    place, message = problem_of(amp(made("torch.nn.Tanh")))
    assert place == "initialize.pipelines.fit.train_step.class"
    assert "step of training" in message


def test_a_step_of_a_pipeline_that_is_not_trained() -> None:
    config = amp()
    config["initialize"]["pipelines"]["check"]["train_step"] = {**AMP, "losses": ["of check"]}
    place, message = problem_of(config)
    assert place == "initialize.pipelines.check.train_step"
    assert "no stage trains this pipeline" in message


def test_the_reviewed_list_holds_for_steps() -> None:
    place, _ = problem_of(amp(made("os.system")))
    assert place == "initialize.pipelines.fit.train_step.class"
