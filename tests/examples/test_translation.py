"""The translation example: trained with the real commands, judged on numbers it never saw."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from subprocess import CompletedProcess

import pytest
import torch
from num2words import num2words

import torchassistant
from examples.translation.data import NumberWords
from examples.translation.models import Decoder, Encoder
from torchassistant.config import merge_configs, read

Run = Callable[..., CompletedProcess[str]]

EXAMPLE = "examples/translation"


@pytest.fixture(scope="module")
def session_dir(run: Run, workplace: Path) -> Path:
    """The session folder of the example, trained for less than half of its epochs."""
    shorter = "train.stages[0].stop_condition.kwargs.num_epochs=4"
    run("init.py", f"{EXAMPLE}/training.json", "--set", shorter)
    run("train.py", "sessions/translation")
    return workplace / "sessions/translation"


def translated(run: Run, *french: str) -> list[str]:
    """What infer.py prints for each input."""
    lines = run("infer.py", f"{EXAMPLE}/inference.json", *french).stdout.splitlines()
    if len(french) == 1:
        return lines
    return [line.removeprefix(f"{text}: ") for line, text in zip(lines, french, strict=True)]


@pytest.mark.examples
def test_held_out_numbers_are_wholly_right(session_dir: Path, run: Run) -> None:
    printed = run("evaluate.py", f"{EXAMPLE}/evaluation.json", "--json").stdout
    reported = json.loads(printed)
    assert reported.keys() == {"wholly right"}
    assert reported["wholly right"] >= 0.95

    # The same share, counted by hand: one text at a time, spelled out, without the engine.
    session = torchassistant.load_session(session_dir, device="cpu")
    encoder, decoder = session.models["encoder"].eval(), session.models["decoder"].eval()
    french_words, english_words = (
        session.preprocessors[name] for name in ("french_words", "english_words")
    )

    def translation(french: str) -> str:
        words = torch.tensor([french_words.process(french)])
        return english_words.decode(decoder.run_inference(*encoder(words))[0])

    with torch.inference_mode():
        right = [translation(french) == english for french, english in session.splits["split"].val]
    assert len(right) == 1000
    assert reported["wholly right"] == pytest.approx(sum(right) / len(right))


@pytest.mark.examples
def test_each_input_is_a_prediction_of_its_own(session_dir: Path, run: Run) -> None:
    numbers = (97, 21, 80, 203, 1000, 1203, 7071, 9999)
    french = [num2words(number, lang="fr") for number in numbers]
    assert translated(run, *french) == [num2words(number, lang="en") for number in numbers]
    assert translated(run, "quatre-vingt-dix-sept") == ["ninety-seven"]


@pytest.mark.examples
def test_vocabularies_are_those_of_the_training_slice(run: Run, workplace: Path) -> None:
    few = {
        "session_dir": "sessions/few",
        "initialize": {
            "definitions": [
                {"group": "datasets", "name": "numbers", "spec": {"kwargs": {"count": 60}}},
                {"group": "splits", "name": "split", "spec": {"ratio": [0.5, 0.5]}},
            ]
        },
    }
    config = merge_configs(read(workplace / EXAMPLE / "training.json").tree, few)
    (workplace / "few.json").write_text(json.dumps(config))
    run("init.py", "few.json")

    session = torchassistant.load_session(workplace / "sessions/few", device="cpu")
    for column, name in enumerate(("french_words", "english_words")):
        slices = [
            {word for pair in part for word in pair[column].split()}
            for part in session.splits["split"].slices
        ]
        vocabulary = session.preprocessors[name].words[4:]
        assert set(vocabulary) == slices[0]
        assert slices[1] - slices[0], "the held-out numbers have words of their own"


def test_every_number_is_spelled_in_both_languages() -> None:
    numbers = NumberWords(count=101)
    assert len(numbers) == 101
    assert numbers[0] == ("zéro", "zero")
    assert numbers[97] == ("quatre-vingt-dix-sept", "ninety-seven")
    assert numbers[100] == ("cent", "one hundred")


def test_a_text_is_read_alike_alone_and_among_longer_ones() -> None:
    torch.manual_seed(0)
    encoder = Encoder(num_words=9, size=8, padding_id=0)
    memory, is_word = encoder(torch.tensor([[1, 5, 6, 7, 2], [1, 8, 2, 0, 0]]))
    alone, _ = encoder(torch.tensor([[1, 8, 2]]))
    torch.testing.assert_close(memory[1:, :3], alone)
    assert is_word.tolist() == [[True] * 5, [True] * 3 + [False] * 2]


def test_free_running_goes_on_from_its_own_words() -> None:
    torch.manual_seed(0)
    decoder = Decoder(num_words=9, size=8, start_id=1, end_id=2, max_words=6)
    memory, is_word = torch.randn(4, 5, 8), torch.arange(5) < torch.tensor([[5], [3], [1], [4]])
    scores, words = decoder(memory, is_word), decoder.run_inference(memory, is_word)
    best = scores.argmax(-1)
    assert best.shape[1] == 6 or (best == 2).any(dim=1).all()
    previous = torch.cat([torch.full((4, 1), 1), best[:, :-1]], dim=1)
    torch.testing.assert_close(decoder(memory, is_word, previous), scores)

    assert words.shape == (4, 6)
    until_the_end = torch.where((best == 2).cumsum(1) > 0, 2, best)
    assert torch.equal(words[:, : best.shape[1]], until_the_end)
    assert (words[:, best.shape[1] :] == 2).all()


def test_free_running_ends_with_the_last_text() -> None:
    decoder = Decoder(num_words=9, size=8, start_id=1, end_id=2, max_words=6)
    with torch.no_grad():
        decoder.score.bias[2] = 100.0
    memory, is_word = torch.randn(3, 5, 8), torch.ones(3, 5, dtype=torch.bool)
    assert decoder(memory, is_word).shape == (3, 1, 9)
    assert decoder.run_inference(memory, is_word).tolist() == [[2] * 6] * 3
