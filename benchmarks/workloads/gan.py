"""A GAN of two pipelines, beside the loop that everybody writes."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable
from typing import Any, TextIO

import torch
from torch import Tensor, nn
from torch.optim import Adam

from benchmarks.alternation import WARM_UP, Other, Rounds, same, seconds_of, seeds_of
from benchmarks.figures import Figure
from benchmarks.plain import shuffled
from benchmarks.tasks import Config, built, made, part, whole
from torchassistant.session import Session

NOISE, WIDTH, BATCH = 16, 64, 32
LOOP, LOOP_WITH_BAR = "a GAN's loop by hand", "the same, bar with both running losses"
ADAM = {"lr": 0.001, "betas": [0.5, 0.999]}


def measure(quick: bool) -> list[Figure]:
    """In one iteration each of the two pipelines trains once."""
    count, rounds = (320, 2) if quick else (6_400, 15)
    loops: dict[str, GanByHand] = {}

    def others(session: Session, stream: TextIO) -> dict[str, Other]:
        for name in (LOOP, LOOP_WITH_BAR):
            loops[name] = GanByHand(session, count)
        return {
            LOOP: seconds_of(loops[LOOP].epoch),
            LOOP_WITH_BAR: seconds_of(loops[LOOP_WITH_BAR].epoch, stream),
        }

    measured = Rounds(config(count, rounds + WARM_UP), others)
    return [
        measured.ratio(
            "GAN, two pipelines",
            name,
            identical=same(measured.session, list(loop.models), list(loop.models.values())),
            at_most=1.0,
        )
        for name, loop in loops.items()
    ]


def _datasets(count: int) -> dict[str, Config]:
    """Each sample, or the noise that it is made of, beside what it should be taken for."""
    return {
        "real": part("Labelled", count, WIDTH, 1.0),
        "noise": part("Labelled", count, NOISE, 0.0),
        "hopeful_noise": part("Labelled", count, NOISE, 1.0),
    }


def config(count: int, epochs: int) -> Config:
    """The discriminator learns to tell real from made, then the generator to deceive it."""
    models = {"generator": (NOISE, WIDTH), "discriminator": (WIDTH, 1)}
    generator = {"model_name": "generator", "inputs": ["noise"], "outputs": ["sample"]}
    judge = {"model_name": "discriminator", "inputs": ["sample"], "outputs": ["realness"]}
    selected = made("SelectVariables", ["sample", "label"])
    groups: dict[str, dict[str, Config]] = {
        "datasets": _datasets(count),
        "loader_factories": {
            f"{name}_batches": {"dataset": name, "kwargs": {"batch_size": BATCH}}
            for name in _datasets(count)
        },
        "models": {name: part("Perceptron", *sizes) for name, sizes in models.items()},
        "optimizers": {f"{name}_adam": {**made("Adam", **ADAM), "model": name} for name in models},
        "losses": {"bce": {**made("BCEWithLogitsLoss"), "inputs": ["realness", "label"]}},
        "batch_processors": {
            "still_generator": {"neural_graph": [generator], "output_adapter": selected},
            "cut": made("torchassistant.batch_processors.DetachBatch"),
            "judge": {"neural_graph": [{**judge, "optimizer_name": "discriminator_adam"}]},
            "generator": {"neural_graph": [{**generator, "optimizer_name": "generator_adam"}]},
            "still_judge": {"neural_graph": [judge]},
        },
        "batch_graphs": {
            "telling": _graph(
                ["real", "noise"],
                still_generator=["noise"],
                cut=["still_generator"],
                judge=["real", "cut"],
            ),
            "deceiving": _graph(["noise"], generator=["noise"], still_judge=["generator"]),
        },
    }
    pipelines = {
        "discriminator": _pipeline(
            "telling", "judge", real=("real", "sample"), noise=("noise", "noise")
        ),
        "generator": _pipeline("deceiving", "still_judge", noise=("hopeful_noise", "noise")),
    }
    return whole(groups, pipelines, epochs)


def _graph(ports: list[str], **edges: list[str]) -> Config:
    return {"nodes": list(edges), "input_aliases": ports, "ingoing_edges": edges}


def _pipeline(graph: str, judge: str, **ports: tuple[str, str]) -> Config:
    """Each port with its dataset and the name of its first column."""
    feeds = [
        {
            "input_alias": port,
            "loader_factory": f"{dataset}_batches",
            "variable_names": [column, "label"],
        }
        for port, (dataset, column) in ports.items()
    ]
    loss = {"loss_name": "bce", "node_name": judge, "loss_display_name": f"{graph} loss"}
    return {"graph": graph, "input_factories": feeds, "losses": [loss]}


class GanByHand:
    """The loop over copies of a session's models, which meets the same batches.

    Args:
        session: Ours.
        count: Examples in each dataset.
        batches_of: Gives the loader of each epoch, from a dataset, a batch size and seeds.
        around: What is put around each model that is trained.
    """

    def __init__(
        self,
        session: Session,
        count: int,
        batches_of: Callable[..., Callable[[int], Any]] = shuffled,
        around: Callable[[nn.Module], nn.Module] = lambda model: model,
    ) -> None:
        self.models: dict[str, nn.Module] = copy.deepcopy(dict(session.models))
        self.adams = {
            name: Adam(model.parameters(), lr=0.001, betas=(0.5, 0.999))
            for name, model in self.models.items()
        }
        self.trained = {name: around(model) for name, model in self.models.items()}
        orders = [("discriminator", 0), ("discriminator", 1), ("generator", 0)]
        self.loaders = [
            batches_of(built(dataset), BATCH, seeds_of(session, *order))
            for dataset, order in zip(_datasets(count).values(), orders, strict=True)
        ]

    def epoch(self, epoch: int, stream: TextIO | None = None) -> None:
        """Train for an epoch, with a bar where there is a stream for it."""
        batches: Iterable[Any] = zip(*(batches(epoch) for batches in self.loaders), strict=False)
        if stream is None:
            for batch in batches:
                self.iteration(*batch)
        else:
            self._with_bar(batches, stream)

    def _with_bar(self, batches: Iterable[Any], stream: TextIO) -> None:
        from tqdm import tqdm

        totals = [0.0, 0.0]
        bar = tqdm(batches, file=stream, dynamic_ncols=True, leave=False)
        for count, batch in enumerate(bar, start=1):
            losses = self.iteration(*batch)
            totals = [total + loss.item() for total, loss in zip(totals, losses, strict=True)]
            bar.set_postfix(d=totals[0] / count, g=totals[1] / count, refresh=False)

    def iteration(self, real: Any, noise: Any, hopeful: Any) -> tuple[Tensor, Tensor]:
        """The discriminator's step, then the generator's.

        Args:
            real: Samples float32 (B, width), labels float32 (B, 1).
            noise: Noise float32 (B, noise), labels float32 (B, 1).
            hopeful: The same, labelled as real.
        """
        generator, discriminator = self.models["generator"], self.models["discriminator"]
        bce = nn.functional.binary_cross_entropy_with_logits

        sample, label = real
        latent, made_label = noise
        samples = torch.cat([sample, generator(latent).detach()])
        telling = bce(self.trained["discriminator"](samples), torch.cat([label, made_label]))
        self.adams["discriminator"].zero_grad()
        telling.backward()
        self.adams["discriminator"].step()

        latent, label = hopeful
        deceiving = bce(discriminator(self.trained["generator"](latent)), label)
        self.adams["generator"].zero_grad()
        deceiving.backward()
        self.adams["generator"].step()
        return telling.detach(), deceiving.detach()
