"""The GAN example: trained with the real commands, judged by a classifier of real digits."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import numpy as np
import pytest
import torch
from PIL import Image

import torchassistant
from examples.gan.data import Digits, Noise, NoiseOfSeed, real_digits
from examples.gan.judge import HELD_OUT, DigitsFound, RarestDigit, confident, probabilities
from examples.gan.models import Discriminator, Generator
from torchassistant.errors import DataError

pytestmark = pytest.mark.examples

Run = Callable[..., CompletedProcess[str]]

SESSION = "sessions/gan"
EVALUATION = "examples/gan/evaluation.json"
INFERENCE = "examples/gan/inference.json"


@pytest.fixture(scope="module")
def session(workplace: Path, run: Run) -> Path:
    """The session, trained for less than a third of its epochs: so many make digits already."""
    shorter = "train.stages[0].stop_condition.kwargs.num_epochs=45"
    run("init.py", "examples/gan/training.json", "--set", shorter)
    run("train.py", SESSION)
    return workplace / SESSION


def test_digits_are_found_and_many_are_clear(session: Path, run: Run) -> None:
    results = json.loads(run("evaluate.py", EVALUATION, "--json").stdout)
    assert list(results) == ["digits found", "rarest digit", "confident"]
    assert results["digits found"] >= 9
    assert results["confident"] >= 0.4


def test_the_session_holds_the_generator_that_was_judged(session: Path) -> None:
    generator = torchassistant.load_session(session).models["generator"].eval()
    with torch.no_grad():
        images = generator(torch.randn(1000, 32, generator=torch.Generator().manual_seed(1)))
    counts = probabilities(images).argmax(dim=1).bincount(minlength=10)
    assert (counts > 0).sum() >= 9
    assert confident(images).mean() >= 0.4


def test_debugging_saves_a_grid_every_fifteen_epochs(session: Path) -> None:
    files = sorted((session.parent / "gan-samples").iterdir())
    assert [file.name for file in files] == [f"{number:06d}.png" for number in range(1, 4)]
    grids = [_pixels(file) for file in files]
    # Eight images of 32 by 32 pixels a side, with gaps of 2 between them.
    assert all(grid.shape == (270, 270) for grid in grids)
    # The noise is the same each time, the generator is not.
    assert len({grid.tobytes() for grid in grids}) == 3
    assert grids[-1].std() > 50


def test_inference_makes_the_same_image_of_the_same_seed(
    session: Path, workplace: Path, run: Run
) -> None:
    run("infer.py", INFERENCE, "1", "2", "1")
    files = sorted((workplace / "sessions/gan-images").iterdir())
    assert [file.name for file in files] == ["000001.png", "000002.png", "000003.png"]
    first, second, third = map(_pixels, files)
    assert first.shape == (128, 128)
    assert np.array_equal(first, third)
    assert not np.array_equal(first, second)


@pytest.mark.slow
def test_of_the_whole_run_all_ten_digits_are_found_and_most_are_clear(run: Run) -> None:
    run("init.py", "examples/gan/training.json", "--set", "session_dir=sessions/whole-gan")
    run("train.py", "sessions/whole-gan")
    done = run("evaluate.py", EVALUATION, "--set", "session_dir=sessions/whole-gan", "--json")
    results = json.loads(done.stdout)
    assert results["digits found"] == 10
    assert results["rarest digit"] >= 0.02
    assert results["confident"] >= 0.65


def test_judge_knows_digits_from_noise() -> None:
    images, labels = real_digits()
    unseen, right = images[HELD_OUT], labels[HELD_OUT]
    assert (probabilities(unseen).argmax(dim=1) == right).float().mean() >= 0.98
    assert confident(unseen).mean() >= 0.95
    noise = torch.rand(200, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    assert confident(noise).mean() == 0


def test_judge_counts_digits_over_batches() -> None:
    found, rarest = DigitsFound(least_share=0.1), RarestDigit()
    for metric in (found, rarest):
        metric.update(torch.eye(10)[[0, 1, 2, 3, 4]])
        metric.update(torch.eye(10)[[5, 6, 7, 8, 8]])
    assert found.compute() == 9
    assert rarest.compute() == 0
    found.reset()
    found.update(torch.eye(10))
    assert found.compute() == 10


def test_networks_fit_together() -> None:
    images = Generator(noise_size=5)(torch.randn(3, 5))
    assert images.shape == (3, 1, 8, 8)
    assert 0 <= images.min() <= images.max() <= 1
    assert Discriminator()(images).shape == (3,)


def test_datasets_give_an_image_or_noise_and_a_label() -> None:
    image, label = Digits(label=0.9)[0]
    assert (len(Digits()), image.shape, label) == (1797, (1, 8, 8), 0.9)
    assert 0 <= image.min() <= image.max() <= 1

    fresh, fixed = Noise(count=2, size=4), Noise(count=2, size=4, label=1.0, seed=0)
    assert (len(fixed), fixed[0][0].shape, fixed[0][1]) == (2, (4,), 1.0)
    assert torch.equal(fixed[1][0], fixed[1][0])
    assert not torch.equal(fixed[0][0], fixed[1][0])
    assert not torch.equal(fresh[1][0], fresh[1][0])


@pytest.mark.parametrize("text", ["one", "1.5", "", str(2**65)])
def test_seed_must_be_a_whole_number(text: str) -> None:
    with pytest.raises(DataError, match="a seed"):
        NoiseOfSeed(4)(text)


def _pixels(file: Path) -> np.ndarray:
    with Image.open(file) as image:
        assert image.format == "PNG"
        return np.asarray(image)
