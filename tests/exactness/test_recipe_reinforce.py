"""REINFORCE: a step of one's own plays an episode, until the running reward is high enough."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import count
from pathlib import Path
from typing import Any

import pytest
import torch
from exact_configs import Config, Twin, config, feed, made, node, trained_by
from exact_runs import Runs
from torch import Tensor, nn, optim
from torch.distributions import Categorical
from torch.utils.data import IterableDataset

from torchassistant import TrainStepEvent

HERE = __name__
GAMMA, EPS, ENOUGH = 0.99, torch.finfo(torch.float32).eps, 4.0


class Episodes(IterableDataset[int]):
    """The numbers of episodes, without an end."""

    def __iter__(self) -> Iterator[int]:
        return count(1)


class Corridor:
    """A walk that lasts as long as it stays in a corridor; where it begins is drawn."""

    def __init__(self) -> None:
        self.generator = torch.Generator().manual_seed(543)

    def reset(self) -> Tensor:
        self.steps = 0
        self.state = torch.rand(4, generator=self.generator) - 0.5
        return self.state

    def step(self, action: int) -> tuple[Tensor, float, bool]:
        """The state float32 (4,), the reward, and whether it is over."""
        self.steps += 1
        push = 0.6 if action else -0.6
        self.state = self.state.roll(1) + torch.tensor([push, 0.1, 0.0, -0.1])
        return self.state, 1.0, self.steps >= 12 or bool(self.state.abs().max() > 1.5)


class Policy(nn.Module):
    """States (1, 4) to probabilities of two actions (1, 2)."""

    def __init__(self) -> None:
        super().__init__()
        self.affine1 = nn.Linear(4, 8)
        self.dropout = nn.Dropout(0.6)
        self.affine2 = nn.Linear(8, 2)
        self.saved_log_probs: list[Tensor] = []
        self.rewards: list[float] = []

    def forward(self, x: Tensor) -> Tensor:
        x = torch.relu(self.dropout(self.affine1(x)))
        return self.affine2(x).softmax(1)


def play(policy: Policy, env: Corridor) -> float:
    """One episode, which the policy remembers; gives the sum of rewards."""
    state, ep_reward, done = env.reset(), 0.0, False
    while not done:
        m = Categorical(policy(state.unsqueeze(0)))
        action = m.sample()
        policy.saved_log_probs.append(m.log_prob(action))
        state, reward, done = env.step(int(action))
        policy.rewards.append(reward)
        ep_reward += reward
    return ep_reward


def policy_loss(policy: Policy) -> Tensor:
    """Of the episode that the policy remembers, which it forgets."""
    reward, returns = 0.0, list[float]()
    for r in policy.rewards[::-1]:
        reward = r + GAMMA * reward
        returns.insert(0, reward)
    normal = torch.tensor(returns)
    normal = (normal - normal.mean()) / (normal.std() + EPS)
    pairs = zip(policy.saved_log_probs, normal, strict=True)
    losses = [-log_prob * reward for log_prob, reward in pairs]
    del policy.rewards[:]
    del policy.saved_log_probs[:]
    return torch.cat(losses).sum()


class Reinforce:
    """An episode and a step of the optimizer; keeps the running reward."""

    def __init__(self) -> None:
        self.env = Corridor()
        self.running_reward = 3.0

    def __call__(self, event: TrainStepEvent) -> dict[str, Any]:
        policy, adam = event.models["policy"], event.optimizers["adam"]
        ep_reward = play(policy, self.env)
        self.running_reward = 0.05 * ep_reward + 0.95 * self.running_reward
        adam.zero_grad()
        event.backward(policy_loss(policy))
        event.step(adam)
        return {"running reward": self.running_reward, "reward": ep_reward}

    def state_dict(self) -> dict[str, float]:
        return {"running_reward": self.running_reward}

    def load_state_dict(self, state: dict[str, float]) -> None:
        self.running_reward = state["running_reward"]


def solved(epoch: int, history: Sequence[dict[str, Any]]) -> bool:
    return history[-1]["running reward"] > ENOUGH


def reinforce() -> Config:
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"episodes": made(f"{HERE}.Episodes")},
        "loader_factories": {"count": {"dataset": "episodes", "kwargs": {"batch_size": None}}},
        "models": {"policy": made(f"{HERE}.Policy")},
        "optimizers": {"adam": trained_by(made("Adam", lr=0.01), "policy")},
        "batch_processors": {"run": {"neural_graph": [node("policy", "state", "probs", "adam")]}},
    }
    step = {**made(f"{HERE}.Reinforce"), "losses": ["running reward", "reward"]}
    pipeline = {"input_factories": [feed("count", "i_episode")], "train_step": step}
    until = {"stop_condition": made(f"{HERE}.solved"), "epoch_length": 1}
    return config(groups, {"play": pipeline}, {"training_pipelines": ["play"], **until})


def test_it_learns_as_in_the_loop(tmp_path: Path) -> None:
    twin = Twin(reinforce(), tmp_path)
    policy, env = twin.models["policy"], Corridor()
    assert isinstance(policy, Policy)
    optimizer = optim.Adam(policy.parameters(), lr=0.01)
    running_reward, rewards = 3.0, []
    for _ in count(1):
        rewards.append(play(policy, env))
        running_reward = 0.05 * rewards[-1] + 0.95 * running_reward
        optimizer.zero_grad()
        policy_loss(policy).backward()
        optimizer.step()
        if running_reward > ENOUGH:
            break
    twin.check()
    assert twin.session.history["reward"].tolist() == rewards
    assert twin.session.history["running reward"].iloc[-1] == pytest.approx(running_reward)
    assert len(rewards) > 3


def test_it_goes_on_from_any_episode(tmp_path: Path) -> None:
    Runs(reinforce(), tmp_path).check_cuts([1, 4])
