"""DQN: a step of one's own plays and learns from what it remembers; a target follows slowly."""

from __future__ import annotations

import math
import random
from collections import deque
from pathlib import Path
from typing import Any

import torch
from exact_configs import (
    Config,
    Twin,
    config,
    feed,
    layer,
    layers,
    loader,
    made,
    node,
    stage,
    trained_by,
)
from exact_runs import Runs
from test_recipe_reinforce import Corridor
from torch import Tensor, nn, optim
from torch.nn.functional import smooth_l1_loss
from torch.utils.data import Dataset

HERE = __name__
BATCH_SIZE, GAMMA, TAU, EPISODES, EPOCHS = 6, 0.99, 0.05, 3, 2
Transition = tuple[Tensor, Tensor, Tensor | None, Tensor]


class Episodes(Dataset[int]):
    """The numbers of some episodes."""

    def __len__(self) -> int:
        return EPISODES

    def __getitem__(self, index: int) -> int:
        return index


class Agent:
    """What plays: an environment, what was met in it, and how long it has been exploring."""

    def __init__(self) -> None:
        self.env = Corridor()
        self.memory: deque[Transition] = deque(maxlen=40)
        self.steps_done = 0

    def select_action(self, policy_net: nn.Module, state: Tensor) -> Tensor:
        sample = random.random()
        eps_threshold = 0.05 + 0.85 * math.exp(-self.steps_done / 20)
        self.steps_done += 1
        if sample > eps_threshold:
            with torch.no_grad():
                return policy_net(state).max(1).indices.view(1, 1)
        return torch.tensor([[random.randrange(2)]])

    def batch_loss(self, policy_net: nn.Module, target_net: nn.Module) -> Tensor | None:
        """The loss of some that were met, if there are enough."""
        if len(self.memory) < BATCH_SIZE:
            return None
        states, actions, following, rewards = zip(
            *random.sample(self.memory, BATCH_SIZE), strict=True
        )
        goes_on = torch.tensor([state is not None for state in following])
        state_action_values = policy_net(torch.cat(states)).gather(1, torch.cat(actions))
        next_state_values = torch.zeros(BATCH_SIZE)
        if goes_on.any():
            with torch.no_grad():
                rest = torch.cat([state for state in following if state is not None])
                next_state_values[goes_on] = target_net(rest).max(1).values
        expected = next_state_values * GAMMA + torch.cat(rewards)
        return smooth_l1_loss(state_action_values, expected.unsqueeze(1))


def follow(target_net: nn.Module, policy_net: nn.Module) -> None:
    """The soft update of the target."""
    target, policy = target_net.state_dict(), policy_net.state_dict()
    for key in policy:
        target[key] = policy[key] * TAU + target[key] * (1 - TAU)
    target_net.load_state_dict(target)


class PlayAndLearn(Agent):
    """An episode, with a step of the optimizer after each step in it."""

    def __call__(self, event: Any) -> dict[str, Any]:
        policy_net, target_net = event.models["policy"], event.models["target"]
        adam = event.optimizers["adam"]
        state, done, duration = self.env.reset().unsqueeze(0), False, 0
        while not done:
            action = self.select_action(policy_net, state)
            observation, reward, done = self.env.step(int(action))
            after = None if done else observation.unsqueeze(0)
            self.memory.append((state, action, after, torch.tensor([reward])))
            state, duration = observation.unsqueeze(0), duration + 1
            loss = self.batch_loss(policy_net, target_net)
            if loss is not None:
                adam.zero_grad()
                event.backward(loss)
                event.step(adam)
            follow(target_net, policy_net)
        return {"duration": duration}

    def state_dict(self) -> dict[str, Any]:
        return {"memory": list(self.memory), "steps_done": self.steps_done}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.memory.clear()
        self.memory.extend(state["memory"])
        self.steps_done = state["steps_done"]


NET = layers(layer("Linear", 4, 8), layer("ReLU"), layer("Linear", 8, 2))


def dqn() -> Config:
    run = [node("policy", "state", "values", "adam"), node("target", "state", "later")]
    groups: dict[str, dict[str, Config]] = {
        "datasets": {"episodes": made(f"{HERE}.Episodes")},
        "loader_factories": {"count": loader("episodes", 1)},
        "models": {"policy": NET, "target": NET},
        "optimizers": {"adam": trained_by(made("AdamW", lr=0.01, amsgrad=True), "policy")},
        "gradient_clippers": {"clip": {"model": "policy", "clip_value": 100}},
        "batch_processors": {"run": {"neural_graph": run}},
    }
    step = {**made(f"{HERE}.PlayAndLearn"), "losses": ["duration"]}
    pipeline = {"input_factories": [feed("count", "i_episode")], "train_step": step}
    return config(groups, {"play": pipeline}, stage("play", epochs=EPOCHS))


def test_it_learns_as_in_the_loop(tmp_path: Path) -> None:
    twin = Twin(dqn(), tmp_path)
    policy_net, target_net = twin.models["policy"], twin.models["target"]
    optimizer = optim.AdamW(policy_net.parameters(), lr=0.01, amsgrad=True)
    agent, durations = Agent(), []
    for _ in range(EPOCHS * EPISODES):
        state, done, duration = agent.env.reset().unsqueeze(0), False, 0
        while not done:
            action = agent.select_action(policy_net, state)
            observation, reward, done = agent.env.step(int(action))
            after = None if done else observation.unsqueeze(0)
            agent.memory.append((state, action, after, torch.tensor([reward])))
            state, duration = observation.unsqueeze(0), duration + 1
            loss = agent.batch_loss(policy_net, target_net)
            if loss is not None:
                optimizer.zero_grad()
                loss.backward()
                nn.utils.clip_grad_value_(policy_net.parameters(), 100)
                optimizer.step()
            follow(target_net, policy_net)
        durations.append(duration)
    twin.check()
    shown = twin.session.history["duration"].tolist()
    assert shown == [sum(durations[:3]) / 3, sum(durations[3:]) / 3]


def test_it_goes_on_from_any_episode(tmp_path: Path) -> None:
    Runs(dqn(), tmp_path).check_cuts([1, 4])
