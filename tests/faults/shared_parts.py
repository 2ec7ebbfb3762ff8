"""Three trainings of unlike kinds, for several processes: a GAN, a translator, a noisy classifier.

Between them they have what is random, what looks at a whole part, and what has a state: several
optimizers, turns, an average, accumulation, schedulers, workers, padding, callbacks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from exact_configs import (
    Config,
    config,
    feed,
    layer,
    layers,
    loader,
    loss,
    made,
    node,
    stage,
    trained_by,
)
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, relu
from torch.nn.utils.parametrizations import spectral_norm
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import Dataset

HERE = "shared_parts"
NOISE, WORDS, PAD = 5, 11, 0


class Pictures(Dataset[tuple[Tensor, Tensor]]):
    """Pictures (1, 8, 8) of bars, with the place of the bar, int64 ().

    Args:
        count: How many.
        seed: Of the noise in them.
    """

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        self.places = torch.randint(0, 8, (count,), generator=generator)
        self.pictures = 0.1 * torch.randn(count, 1, 8, 8, generator=generator)
        for picture, place in zip(self.pictures, self.places.tolist(), strict=True):
            picture[0, :, place] += 1.0

    def __len__(self) -> int:
        return len(self.places)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.pictures[index], self.places[index]


# A GAN


class Generator(nn.Module):
    """Noise (B, NOISE) → pictures (B, 1, 8, 8)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            nn.Linear(NOISE, 32), nn.BatchNorm1d(32), nn.ReLU(), nn.Linear(32, 64)
        )

    def forward(self, noise: Tensor) -> Tensor:
        return self.body(noise).view(-1, 1, 8, 8)


class Critic(nn.Module):
    """Pictures (B, 1, 8, 8) → verdicts (B, 1)."""

    def __init__(self) -> None:
        super().__init__()
        self.body = nn.Sequential(
            spectral_norm(nn.Conv2d(1, 6, 3, stride=2)),
            nn.LeakyReLU(0.2),
            nn.Dropout2d(0.2),
            nn.Flatten(),
            spectral_norm(nn.Linear(54, 1)),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return self.body(pictures)


def with_noise(frame: Mapping[str, Any]) -> dict[str, Any]:
    """An input adapter: noise for each picture of the batch."""
    noise = torch.randn(len(frame["picture"]), NOISE)
    return {name: {**frame, "noise": noise} for name in ("made", "real")}


class Hinge(nn.Module):
    """What the critic minimizes."""

    def forward(self, of_real: Tensor, of_made: Tensor) -> Tensor:
        return relu(1 - of_real).mean() + relu(1 + of_made).mean()


class Doubt(nn.Module):
    """What the generator minimizes."""

    def forward(self, of_made: Tensor) -> Tensor:
        return -of_made.mean()


def gan(epochs: int) -> Config:
    """Two steps of the critic for each of the generator, whose average is validated."""
    adam = {"lr": 0.002, "betas": [0.0, 0.9]}
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "pictures": made(f"{HERE}.Pictures", 24),
            "others": made(f"{HERE}.Pictures", 9, seed=1),
        },
        "loader_factories": {
            "pictures": loader("pictures", 8, shuffle=True),
            "others": loader("others", 5),
        },
        "models": {
            "generator": made(f"{HERE}.Generator"),
            "critic": made(f"{HERE}.Critic"),
            "average": {"average_of": "generator", "decay": 0.9},
        },
        "optimizers": {
            "making": {
                **trained_by(made("Adam", **adam), "generator"),
                "lr_scheduler": {**made("ExponentialLR", gamma=0.99), "interval": "step"},
            },
            "judging": trained_by(made("AdamW", **adam), "critic"),
        },
        "gradient_clippers": {"short": {"model": "critic", "clip_norm": 1.0}},
        "losses": {
            "hinge": {**made(f"{HERE}.Hinge"), "inputs": ["of_real", "of_made"]},
            "doubt": {**made(f"{HERE}.Doubt"), "inputs": ["of_made"]},
        },
        "batch_processors": {
            "judging": {
                "input_adapter": made(f"{HERE}.with_noise"),
                "neural_graph": [
                    node("generator", "noise", "fake", name="made"),
                    node("critic", "picture", "of_real", "judging", name="real"),
                    node("critic", "fake", "of_made", "judging", name="judged"),
                ],
            },
            "making": {
                "input_adapter": made(f"{HERE}.with_noise"),
                "neural_graph": [
                    node("generator", "noise", "fake", "making", name="made"),
                    node("critic", "fake", "of_made", name="judged"),
                ],
            },
        },
        "batch_graphs": {"judging": {"nodes": ["judging"]}, "making": {"nodes": ["making"]}},
    }
    columns = [feed("pictures", "picture place")]
    pipelines: dict[str, Config] = {
        "critic": {"graph": "judging", "input_factories": columns, "losses": [loss("hinge")]},
        "generator": {"graph": "making", "input_factories": columns, "losses": [loss("doubt")]},
        "check": {
            "graph": "making",
            "models": {"generator": "average"},
            "input_factories": [feed("others", "picture place")],
            "losses": [loss("doubt", loss_display_name="val doubt")],
        },
    }
    turns = [{"pipeline": "critic", "repeat": 2, "when_exhausted": "restart"}, "generator"]
    whole = stage(*turns, epochs=epochs, validation=["check"], epoch_length="generator")
    return config(groups, pipelines, whole)


# A translator


class Sentences(Dataset[tuple[Tensor, Tensor]]):
    """Words int64 (T,), T from 2 to 7, and the same backwards."""

    def __init__(self, count: int, seed: int = 0) -> None:
        generator = torch.Generator().manual_seed(seed)
        lengths = torch.randint(2, 8, (count,), generator=generator).tolist()
        self.sentences = [torch.randint(2, WORDS, (n,), generator=generator) for n in lengths]

    def __len__(self) -> int:
        return len(self.sentences)

    def __getitem__(self, index: int) -> tuple[Tensor, Tensor]:
        return self.sentences[index], self.sentences[index].flip(0)


def padded(examples: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    """Words (B, T) of both sides, filled up to the longest of the part."""
    source, target = (
        pad_sequence([*side], batch_first=True) for side in zip(*examples, strict=True)
    )
    return source, target


class Encoder(nn.Module):
    """Words (B, T) → what they mean, (1, B, 12)."""

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8, padding_idx=PAD)
        self.dropout = nn.Dropout(0.2)
        self.gru = nn.GRU(8, 12, batch_first=True)

    def forward(self, words: Tensor) -> Tensor:
        return self.gru(self.dropout(self.embedding(words)))[1]


class Decoder(nn.Module):
    """Words (B, T) and what they mean (1, B, 12) → scores (B, WORDS, T).

    In training half of the time a word of its own is what the next one follows.
    """

    def __init__(self) -> None:
        super().__init__()
        self.embedding = nn.Embedding(WORDS, 8)
        self.cell = nn.GRUCell(8, 12)
        self.out = nn.Linear(12, WORDS)

    def forward(self, words: Tensor, meaning: Tensor) -> Tensor:
        state, word, scores = meaning[0], torch.ones_like(words[:, 0]), []
        for place in range(words.shape[1]):
            state = self.cell(self.embedding(word), state)
            scores.append(self.out(state))
            forced = self.training and bool(torch.rand(()) < 0.5)
            word = words[:, place] if forced else scores[-1].argmax(1)
        return torch.stack(scores, dim=2)


class ByWords(nn.Module):
    """Cross entropy over the words that are there."""

    def forward(self, scores: Tensor, target: Tensor) -> Tensor:
        return cross_entropy(scores, target, ignore_index=PAD)

    def count(self, scores: Tensor, target: Tensor) -> Tensor:
        return (target != PAD).sum()


def translator(epochs: int) -> Config:
    """Encoder and decoder, each with an optimizer of its own; data from a worker."""
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "sentences": made(f"{HERE}.Sentences", 26),
            "others": made(f"{HERE}.Sentences", 10, seed=1),
        },
        "collators": {"padded": made(f"{HERE}.padded")},
        "loader_factories": {
            "sentences": {
                **loader("sentences", 7, shuffle=True, num_workers=1),
                "collator": "padded",
            },
            "others": {**loader("others", 4), "collator": "padded"},
        },
        "models": {"encoder": made(f"{HERE}.Encoder"), "decoder": made(f"{HERE}.Decoder")},
        "optimizers": {
            "reading": trained_by(made("SGD", lr=0.1, momentum=0.9), "encoder"),
            "writing": {
                **trained_by(made("Adam", lr=0.01), "decoder"),
                "lr_scheduler": {
                    **made("ReduceLROnPlateau", factor=0.5, patience=0),
                    "monitor": "val entropy",
                },
            },
        },
        "gradient_clippers": {
            name: {"model": name, "clip_norm": 0.5} for name in ("encoder", "decoder")
        },
        "losses": {"entropy": {**made(f"{HERE}.ByWords"), "inputs": ["scores", "target"]}},
        "batch_processors": {
            "translating": {
                "neural_graph": [
                    node("encoder", "source", "meaning", "reading"),
                    node("decoder", "target meaning", "scores", "writing"),
                ]
            }
        },
    }
    pipelines: dict[str, Config] = {
        "fit": {
            "input_factories": [feed("sentences", "source target")],
            "losses": [loss("entropy")],
        },
        "check": {
            "input_factories": [feed("others", "source target")],
            "losses": [loss("entropy", loss_display_name="val entropy")],
        },
    }
    return config(groups, pipelines, stage("fit", epochs=epochs, validation=["check"]))


# A noisy classifier


def brightened(picture: Tensor) -> Tensor:
    """A picture whose brightness is random."""
    return picture * torch.empty(()).uniform_(0.5, 1.5)


class Body(nn.Module):
    """Pictures (B, 1, 8, 8) → features (B, 24)."""

    def __init__(self) -> None:
        super().__init__()
        self.layers = nn.Sequential(
            nn.Conv2d(1, 6, 3, stride=2),
            nn.BatchNorm2d(6),
            nn.ReLU(),
            nn.Dropout(0.3),
            nn.Flatten(),
            nn.Linear(54, 24),
            nn.BatchNorm1d(24),
        )

    def forward(self, pictures: Tensor) -> Tensor:
        return self.layers(pictures)


def classifier(epochs: int) -> Config:
    """Two optimizers, accumulation in bf16, augmentation; rows within epochs, and callbacks."""
    head = layers(layer("ReLU"), layer("Dropout", 0.5), layer("Linear", 24, 8))
    groups: dict[str, dict[str, Config]] = {
        "datasets": {
            "pictures": made(f"{HERE}.Pictures", 37),
            "others": made(f"{HERE}.Pictures", 14, seed=1),
        },
        "loader_factories": {
            "pictures": {
                **loader("pictures", 9, shuffle=True, drop_last=True),
                "augment": made(f"{HERE}.brightened"),
            },
            "others": loader("others", 5),
        },
        "models": {"body": made(f"{HERE}.Body"), "head": head},
        "optimizers": {
            "slow": {
                **trained_by(made("SGD", lr=0.05, momentum=0.9, nesterov=True), "body"),
                "lr_scheduler": made("StepLR", step_size=2, gamma=0.8),
            },
            "fast": trained_by(made("Adam", lr=0.01), "head"),
        },
        "losses": {
            "entropy": {
                **made("CrossEntropyLoss", label_smoothing=0.1),
                "inputs": ["scores", "place"],
            }
        },
        "metrics": {
            "accuracy": {
                **made("Accuracy"),
                "inputs": ["scores", "place"],
                "transform": "exact_parts.predicted_class",
            }
        },
        "callbacks": {
            "rates": made("LearningRateMonitor"),
            "norms": made("GradientNorms"),
        },
        "batch_processors": {
            "classifying": {
                "neural_graph": [
                    node("body", "picture", "features", "slow"),
                    node("head", "features", "scores", "fast"),
                ]
            }
        },
    }
    measured = {"metrics": [{"metric_name": "accuracy"}]}
    pipelines: dict[str, Config] = {
        "fit": {
            "input_factories": [feed("pictures", "picture place")],
            "losses": [loss("entropy")],
            "gradient_accumulation": 2,
            **measured,
        },
        "check": {
            "input_factories": [feed("others", "picture place")],
            "losses": [loss("entropy", loss_display_name="val entropy")],
            "metrics": [{"metric_name": "accuracy", "display_name": "val accuracy"}],
        },
    }
    whole = stage("fit", epochs=epochs, validation=["check"], measure_training=True)
    whole["callbacks"] = ["rates", "norms"]
    found = config(groups, pipelines, whole)
    return {**found, "precision": "bf16", "log": {"every_iterations": 2}}


TRAININGS = {"gan": gan, "translator": translator, "classifier": classifier}
"""Each makes a config of so many epochs."""
