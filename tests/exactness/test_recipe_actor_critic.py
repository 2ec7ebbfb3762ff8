"""Actor-critic: a step of one's own plays an episode in an environment, and learns from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from exact_configs import Config, Twin, feed, made, node, stage
from exact_configs import config as whole_config
from exact_runs import Runs
from step_parts import actor_critic_loss

EPISODES, EPOCHS = 6, 2


def actor_critic() -> Config:
    """The data are the seeds of the episodes, as a stream."""
    groups = {
        "datasets": {"episodes": made("step_parts.Seeds", EPISODES)},
        "loader_factories": {"stream": {"dataset": "episodes", "kwargs": {"batch_size": 1}}},
        "models": {"policy": made("step_parts.Policy")},
        "optimizers": {"adam": {**made("Adam", lr=0.03), "model": "policy"}},
        "batch_processors": {
            "run": {"neural_graph": [node("policy", "state", "logits value", "adam")]}
        },
    }
    play = {
        "input_factories": [feed("stream", "seed")],
        "train_step": {**made("step_parts.finish_episode"), "losses": ["loss", "reward"]},
    }
    return whole_config(groups, {"play": play}, stage("play", epochs=EPOCHS))


def test_it_learns_as_in_the_loop(tmp_path: Path) -> None:
    twin = Twin(actor_critic(), tmp_path)
    policy = twin.models["policy"]
    adam = torch.optim.Adam(policy.parameters(), lr=0.03)
    history = []
    for _ in range(EPOCHS):
        rows = []
        for seed in range(EPISODES):
            loss, reward = actor_critic_loss(policy, seed)
            adam.zero_grad()
            loss.backward()
            adam.step()
            rows.append([loss.item(), reward])
        history.append(torch.tensor(rows, dtype=torch.float64).mean(0).tolist())
    twin.check()
    shown = twin.session.history[["loss", "reward"]].to_numpy()
    assert shown == pytest.approx(torch.tensor(history, dtype=torch.float64).numpy(), rel=1e-12)


def test_it_goes_on_from_any_episode(tmp_path: Path) -> None:
    Runs(actor_critic(), tmp_path).check_cuts()
