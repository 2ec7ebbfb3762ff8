"""Steps of one's own, and what they train."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils.data import Dataset, IterableDataset

from torchassistant import EvalStepEvent, TrainStepEvent


class AMPStep:
    """Mixed precision by hand, and gradients that are added up over some batches.

    Args:
        accumulate: Over how many.
    """

    def __init__(self, accumulate: int = 3) -> None:
        self.accumulate = accumulate
        self.seen = 0

    def __call__(self, event: TrainStepEvent) -> dict[str, Any]:
        net, sgd = event.models["net"], event.optimizers["sgd"]
        images, target = event.frame["images"], event.frame["target"]
        with torch.autocast(event.device.type, dtype=torch.bfloat16):
            prediction = net(images)
            loss = event.losses["loss"](prediction, target)
        event.backward(loss / self.accumulate)
        self.seen += 1
        if self.seen % self.accumulate == 0:
            event.step(sgd)
            sgd.zero_grad()
        return {"prediction": prediction, "target": target, "loss": loss}

    def state_dict(self) -> dict[str, Any]:
        return {"seen": self.seen}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.seen = state["seen"]


class ValStep:
    """The same without gradient, of which it knows how often it was called."""

    def __call__(self, event: EvalStepEvent) -> dict[str, Any]:
        assert not torch.is_grad_enabled()
        assert not event.models["net"].training
        images, target = event.frame["images"], event.frame["target"]
        with torch.autocast(event.device.type, dtype=torch.bfloat16):
            prediction = event.models["net"](images)
            loss = event.losses["val"](prediction, target)
        return {"prediction": prediction.argmax(1), "target": target, "val": loss.item()}


class Images(Dataset[tuple[Tensor, int]]):
    """Three classes of pictures (1, 6, 6), which differ in where they are bright."""

    def __init__(self, count: int, seed: int = 0, nan_from: int | None = None) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.labels = torch.randint(3, (count,), generator=generator)
        self.images = 0.5 * torch.randn(count, 1, 6, 6, generator=generator)
        for image, label in zip(self.images, self.labels, strict=True):
            image[:, 2 * int(label) : 2 * int(label) + 2] += 1
        if nan_from is not None:
            self.images[nan_from : nan_from + 4] = torch.nan

    def __len__(self) -> int:
        return len(self.labels)

    def __getitem__(self, index: int) -> tuple[Tensor, int]:
        return self.images[index], int(self.labels[index])


class SmallNet(nn.Module):
    """(B, 1, 6, 6) → (B, 3)."""

    def __init__(self) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 4, 3)
        self.norm = nn.BatchNorm2d(4)
        self.drop = nn.Dropout(0.2)
        self.fc = nn.Linear(4 * 16, 3)

    def forward(self, x: Tensor) -> Tensor:
        x = self.drop(self.norm(self.conv(x)).relu())
        result: Tensor = self.fc(x.flatten(1))
        return result


# Reinforcement learning


class Seeds(IterableDataset[Tensor]):
    """The seeds of episodes, one after the other."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __iter__(self) -> Iterator[Tensor]:
        return (torch.tensor(seed) for seed in range(self.count))


class Corridor:
    """An environment: five places in a row, of which the last is the goal.

    Args:
        seed: Of the place where an episode starts, and of slips.
    """

    def __init__(self, seed: int) -> None:
        self.generator = torch.Generator().manual_seed(seed)
        self.place = int(torch.randint(4, (), generator=self.generator))

    def observe(self) -> Tensor:
        return nn.functional.one_hot(torch.tensor(self.place), 5).float()

    def act(self, action: int) -> tuple[Tensor, float, bool]:
        slips = bool(torch.rand((), generator=self.generator) < 0.1)
        right = (action == 1) != slips
        self.place = max(0, min(4, self.place + (1 if right else -1)))
        done = self.place == 4
        return self.observe(), 1.0 if done else -0.1, done


class Policy(nn.Module):
    """(…, 5) → logits of going left and right (…, 2), and the value of the place (…, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.affine = nn.Linear(5, 8)
        self.action_head = nn.Linear(8, 2)
        self.value_head = nn.Linear(8, 1)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        h = self.affine(x).relu()
        return self.action_head(h), self.value_head(h)


def actor_critic_loss(
    net: nn.Module, seed: int, gamma: float = 0.95, longest: int = 12
) -> tuple[Tensor, float]:
    """One episode: its loss with gradient, and the sum of its rewards."""
    environment = Corridor(seed)
    state, logs, values, rewards, done = environment.observe(), [], [], [], False
    while not done and len(rewards) < longest:
        logits, value = net(state)
        actions = torch.distributions.Categorical(logits=logits)
        action = actions.sample()
        state, reward, done = environment.act(int(action))
        logs.append(actions.log_prob(action))
        values.append(value.squeeze())
        rewards.append(reward)
    returns, total = [], 0.0
    for reward in reversed(rewards):
        total = reward + gamma * total
        returns.insert(0, total)
    loss = torch.zeros(())
    for log, value, wanted in zip(logs, values, returns, strict=True):
        loss = loss - log * (wanted - value.item())
        loss = loss + nn.functional.smooth_l1_loss(value, torch.tensor(wanted))
    return loss, sum(rewards)


def finish_episode(event: TrainStepEvent) -> dict[str, Any]:
    """A step that plays one episode by the policy as it is, and learns from that."""
    adam = event.optimizers["adam"]
    loss, reward = actor_critic_loss(event.models["policy"], int(event.frame["seed"]))
    adam.zero_grad()
    event.backward(loss)
    event.step(adam)
    return {"loss": loss, "reward": reward}


# Adversarial


def gan_step(event: TrainStepEvent) -> dict[str, Any]:
    """Both turns of a GAN on one batch."""
    real = event.frame["real"]
    generator, critic = event.models["generator"], event.models["critic"]
    ones, zeros = torch.ones(len(real), 1), torch.zeros(len(real), 1)
    bce = nn.functional.binary_cross_entropy_with_logits
    fake = generator(torch.randn(len(real), 3))
    event.optimizers["critic_adam"].zero_grad()
    of_critic = bce(critic(real), ones) + bce(critic(fake.detach()), zeros)
    event.backward(of_critic)
    event.step(event.optimizers["critic_adam"])
    event.optimizers["generator_adam"].zero_grad()
    of_generator = bce(critic(fake), ones)
    event.backward(of_generator)
    event.step(event.optimizers["generator_adam"])
    return {"critic": of_critic, "generator": of_generator}


# What fails


def returns_nothing(event: TrainStepEvent) -> None:
    return None


def forgets_a_loss(event: TrainStepEvent) -> dict[str, Any]:
    return {"los": torch.zeros(())}


def returns_many(event: TrainStepEvent) -> dict[str, Any]:
    return {"loss": torch.zeros(3)}


def raises(event: TrainStepEvent) -> dict[str, Any]:
    raise ArithmeticError("so it cannot be")


def takes_another(event: TrainStepEvent) -> dict[str, Any]:
    event.step(torch.optim.SGD([nn.Parameter(torch.ones(1))], lr=1.0))
    return {"loss": 0.0}


def is_not_finite(event: TrainStepEvent) -> dict[str, Any]:
    return {"loss": torch.tensor(torch.inf)}
